"""The service as a real JupyterHub runs it, with the hub's own tokens and scopes."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from farlab_real.hub import RunningHub
from farlab_real.kernel import RemoteKernel
from farlab_real.plugin import RunningPlugin
from farlab_real.processes import wait_until
from farlab_real.user import ADMIN_TOKEN

# A role as an operator gives it to those who see after everybody's workloads.
MORE = """
role = {"name": "farlab-admins", "scopes": ["custom:farlab:admin"], "users": ["olga"]}
c.JupyterHub.load_roles.append(role)
"""
DOCS = Path(__file__).parents[2] / "docs" / "hub-service.md"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    profile = {
        "name": "p",
        "title": "P",
        "sizes": [{"title": "s", "cpu": 1, "memory": "1Gi"}],
        "images": [{"title": "i", "image": sys.prefix}],
    }
    site = {"name": "here", "title": "Here", "kind": "cloud", "profiles": [profile]}
    with RunningPlugin(folder / "plugin", {"local": {}}) as plugin:
        site["carrier"] = plugin.carrier
        with RunningHub(folder / "hub", {"sites": [site]}, more=MORE) as running:
            yield running


def alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def call(hub, token, path="workloads"):
    url = f"http://127.0.0.1:{hub.service_port}/services/farlab/api/{path}"
    return httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)


def token_of(hub, name, **more):
    """Return a new API token of a user."""
    hub.api("POST", f"users/{name}")
    return hub.api("POST", f"users/{name}/tokens", note="a test's", **more).json()["token"]


def test_the_hubs_tokens_and_scopes_count(hub):
    assert hub.service("GET", "workloads").json() == []
    assert call(hub, "guess").status_code == 401
    # A service that may do everything on the hub may not do this.
    refused = call(hub, ADMIN_TOKEN)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    ada = token_of(hub, "ada")
    assert call(hub, ada).json() == []
    (site,) = call(hub, ada, "sites").json()
    assert (site["name"], site["kernels"]) == ("here", True)
    assert call(hub, ada, "workloads?owner=*").status_code == 403
    narrow = token_of(hub, "ada", scopes=["read:users:name!user"])
    assert call(hub, narrow).status_code == 403
    assert call(hub, token_of(hub, "olga"), "workloads?owner=*").json() == []  # see the role


def test_a_servers_own_token_may_use_the_service(hub):
    """As code in a server at a site does it: with what is in its environment."""
    with hub.login("grace") as grace:
        grace.spawn({"profile": "here--p"})
        grace.wait_until_ready()
        code = (
            "import json, os, urllib.request as u;"
            "t = os.environ['JUPYTERHUB_API_TOKEN'];"
            "r = u.Request(os.environ['FARLAB_API_URL'] + 'sites',"
            " headers={'Authorization': 'Bearer ' + t});"
            "print(json.load(u.urlopen(r))[0]['name'])"
        )
        with RemoteKernel(grace) as kernel:
            assert kernel.run(code) == "here\n"
        grace.stop()


def test_it_tells_the_sites_of_a_real_plugin(hub):
    (site,) = hub.service("GET", "sites?user=ada").json()
    assert (site["open"], site["facts"]["status"]) == (True, "ok")


def test_the_commands_of_the_page_work(hub):
    run, ask = re.findall(r"^\$ (.*)$", DOCS.read_text(), re.MULTILINE)
    farlab, *arguments = run.split()
    assert farlab == "farlab"
    command = [str(Path(sys.executable).with_name(farlab)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for option in re.findall(r"`--([a-z-]+)`", DOCS.read_text()):
        assert f"--{option}=" in done.stdout

    # curl may not be there: the same request by other means.
    curl, flag, header, url = shlex.split(ask)
    assert (curl, flag) == ("curl", "-H")
    (file,) = re.findall(r"\$\(cat (.*)\)", header)
    name, _, value = header.replace(f"$(cat {file})", (hub.state / file).read_text()).partition(
        ": "
    )
    answer = httpx.get(url.replace(":8092/", f":{hub.service_port}/"), headers={name: value})
    assert (answer.status_code, answer.json()) == (200, [])


def test_it_ends_with_a_hub_that_is_killed_and_comes_back_with_the_next(hub):
    (service,) = [
        process
        for process in psutil.Process(hub.process.pid).children()
        if f"--state-dir={hub.state}" in process.cmdline()
    ]
    hub.kill()
    wait_until(lambda: not alive(service), "the end of the service")
    hub.restart()
    assert hub.service("GET", "workloads").json() == []
