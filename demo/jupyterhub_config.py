"""The demo's hub: everything on loopback, any name, no password."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import farlab_spawner
import yaml

c = get_config()  # noqa: F821  # JupyterHub puts it there

here = Path(__file__).parent
sys.path[:0] = [str(here), str(here.parent / "tests/real")]
import lake  # noqa: E402
from farlab_real.tutorial_lake import add_user  # noqa: E402

state = Path(os.environ["FARLAB_DEMO_FOLDER"])
lakes = json.loads(os.environ["FARLAB_DEMO_LAKES"])
port, hub_port, proxy_port, service_port, relay_port = map(
    int, os.environ["FARLAB_DEMO_PORTS"].split()
)

farlab_spawner.configure(
    c,
    state / "sites.yaml",
    state_dir=state,
    service_port=service_port,
    relay_port=relay_port,
)

c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{hub_port}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{proxy_port}"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
# A demo leaves nothing behind; a real hub keeps servers running through its own restart.
c.JupyterHub.cleanup_servers = True
c.JupyterHub.template_vars = {
    "announcement_login": "This is a demo on your own machine: log in with any name, no password."
}


def name_of(spawner):
    """Each user's name in letters, digits and dashes."""
    return spawner._expand_user_properties("{username}")


def home(spawner):
    """Each user's own folder, whichever site the server runs at."""
    return str(state / "homes" / name_of(spawner))


def prepare(spawner):
    """Give a new user the demo's notebooks, and each user an account in the DataLake."""
    return asyncio.to_thread(fill_home, Path(home(spawner)), lake.account_of(name_of(spawner)))


def fill_home(folder, account):
    """Make what is missing in a user's folder."""
    if not folder.exists():
        shutil.copytree(here / "home", folder)
        for name in ("offload", "datalake"):
            text = tutorial(name).replace("user.alice", f"user.{account}")
            (folder / NOTEBOOKS[name]).write_text(text)
    if lakes:
        add_user(lakes, account, folder)


NOTEBOOKS = {"offload": "Offload.ipynb", "datalake": "DataLake.ipynb"}


def tutorial(name):
    """Return a notebook of the docs, for one of the demo's sites instead of their `vega`."""
    names = [site["name"] for site in yaml.safe_load((state / "sites.yaml").read_text())["sites"]]
    text = (here.parent / f"docs/examples/{name}.ipynb").read_text()
    # The pages that it links to are not in the user's folder.
    text = re.sub(r"\[([^\[\]\n]*)\]\(\.\./[^)\n]*\)", r"\1", text)
    return re.sub(r"\b[Vv]ega\b", "hpc" if "hpc" in names else "cloud", text)


c.FarlabSpawner.environment = {"HOME": home}
c.FarlabSpawner.working_dir = ""
# The sites' jobs run as whoever started the demo; JupyterLab wants to be told that root is meant.
c.FarlabSpawner.args = ["--allow-root"] if os.geteuid() == 0 else []
c.FarlabSpawner.pre_spawn_hook = prepare
