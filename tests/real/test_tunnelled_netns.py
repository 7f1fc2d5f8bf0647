"""A site from which nothing dials out, behind a login node: the hub comes in by `ssh -L`.

Three network namespaces: the hub's, whose only way is to the login node's sshd; the login node's,
which forwards no packet; and the site's, which has no route out. The plugin, its gateway and the
jobs are in the site's, the hub service and a user in the hub's.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from farlab_real.netns import EDGE_OUTSIDE, HUB, NODE, ClosedSite, closed_site
from farlab_real.plugin_pods import configuration, kill_all, plugin_folder, processes_with
from farlab_real.processes import Process
from farlab_real.service import small_profile
from farlab_real.ssh import LoginNode

SSH_PORT, PLUGIN_PORT, GATEWAY_PORT = 2222, 4000, 4001
PAGE = (Path(__file__).parents[2] / "docs/site-edge.md").read_text()
TOKEN = "the-token-of-the-site"
API_TOKEN = "the-token-of-the-user"

# The hub's side: the hub's API, the hub service, and a server that it starts at the site.
HUB_PROGRAM = """
import asyncio, hashlib, json, sys, uuid
from pathlib import Path
from farlab_hub.api import rules
from farlab_hub.models import NewWorkload
from farlab_hub.one_user import OneUser
from farlab_hub.service import HubService
from farlab_sites.carriers import carrier_for
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application

folder, token, gateway = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
payload = Path(sys.argv[4]).read_text()

async def api(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nthe hub's API")
    writer.close()

def server():
    uid, secret = str(uuid.uuid4()), "a-secret-of-this-workload"
    agent = [sys.executable, "-m", "farlab_relay.agent", "--port", "8888", "--call", "hub", "--"]
    command = [*agent, sys.executable, "-c", payload, "{port:8888}", "{call:hub}"]
    values = {"FARLAB_RELAY_URL": gateway, "FARLAB_WORKLOAD": uid, "FARLAB_SECRET": secret}
    env = [{"name": name, "value": value} for name, value in values.items()]
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "server", "namespace": "farlab", "uid": uid, "annotations": {}},
        "spec": {"containers": [{"name": "main", "command": command, "env": env}]},
    }
    digest = hashlib.sha256(secret.encode()).hexdigest()
    return NewWorkload(
        uid=uid, owner="ada", groups=[], kind="server", site="vega", profile="small", pod=pod,
        secrets=[], ports=[8888], secret_sha256=digest,
    )

async def main():
    upstream = await asyncio.start_server(api, "127.0.0.1", 0)
    service = HubService(
        folder / "sites.yaml", folder / "state", OneUser("ada", token), carrier_for=carrier_for,
        upstreams={"hub": upstream.sockets[0].getsockname()[:2]}, tick=0.2,
    )
    await service.start("127.0.0.1", 0)
    sockets = bind_sockets(0, "127.0.0.1")
    http = HTTPServer(Application(rules(service, "/")))
    http.add_sockets(sockets)
    workload = await service.workloads.announce(server())
    port = sockets[0].getsockname()[1]
    where = {"api": f"http://127.0.0.1:{port}/api/", "server": workload.address}
    print(json.dumps(where), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# The server in the job: sends back what it gets, with what the hub's API says.
SERVER = """
import http.server, sys, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/", timeout=30) as api:
            heard = api.read().decode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Heard", heard)
        self.end_headers()
        self.wfile.write(body)

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

# The user: a kernel at the site and the server there, before the tunnel breaks and after.
USER = """
import random, sys, time, urllib.request
from pathlib import Path
import farlab_kernels

server, folder = sys.argv[1], Path(sys.argv[2])

def ask_server():
    data = random.Random(7).randbytes(8 << 20)
    for _ in range(600):
        try:
            with urllib.request.urlopen(server + "/", data=data, timeout=60) as answer:
                same = answer.read() == data
            print("server:", answer.headers["X-Heard"], "| intact:", same, flush=True)
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server does not answer")

ask_server()
with farlab_kernels.connect("vega") as kernel:
    kernel.run("import os; x = 6 * 7; print('kernel:', x, os.environ['FARLAB_SITE'])")
    print("before", flush=True)
    while not (folder / "again").exists():
        time.sleep(0.1)
    ask_server()
    kernel.run("print('kernel still:', x)")
print("done", flush=True)
"""


@pytest.fixture
def site() -> Iterator[ClosedSite]:
    with closed_site() as made:
        yield made


@pytest.fixture
def home() -> Iterator[Path]:
    with plugin_folder() as folder:
        yield folder
        kill_all(processes_with(str(folder)))


@pytest.fixture
def started() -> Iterator[list[Process]]:
    """What a test has started: stopped at its end, the last one first."""
    processes: list[Process] = []
    yield processes
    for process in reversed(processes):
        process.stop()


def plugin_at(site: ClosedSite, home: Path) -> Process:
    """Return the site's plugin, which waits for the hub."""
    (home / "token").write_text(TOKEN)
    text = configuration(
        home,
        listen=f"{NODE}:{PLUGIN_PORT}",
        token_file=f"{home}/token",
        gateway={"listen": f"{NODE}:{GATEWAY_PORT}"},
        python=sys.executable,
    )
    (home / "plugin.yaml").write_text(text)
    module = ["-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    return Process(site.node.command(sys.executable, *module), home / "plugin.log")


def login_node(site: ClosedSite, home: Path) -> LoginNode:
    """Return the site's login node, where the hub's key may do what the page says."""
    (options,) = re.findall(r"restrict,port-forwarding,permitopen=\S*", PAGE)
    options = options.replace("10.0.0.1:4000", f"{NODE}:{PLUGIN_PORT}")
    return LoginNode(home, site.edge, EDGE_OUTSIDE, SSH_PORT, options)


def hub_at(site: ClosedSite, home: Path) -> Process:
    """Return the hub service, whose way to the site is a socket that ssh makes."""
    direct = {"url": f"unix://{home}/tunnel.sock", "token_file": f"{home}/token"}
    gateway = f"ws://{NODE}:{GATEWAY_PORT}"
    entry = {
        **{"name": "vega", "title": "Vega", "kind": "hpc", "carrier": {"direct": direct}},
        **{"relay": {"way": "tunnelled", "url": gateway}, "profiles": [small_profile()]},
    }
    (home / "sites.yaml").write_text(yaml.safe_dump({"sites": [entry]}))
    (home / "server.py").write_text(SERVER)
    arguments = [str(home), API_TOKEN, gateway, str(home / "server.py")]
    return Process(
        site.hub.command(sys.executable, "-c", HUB_PROGRAM, *arguments), home / "hub.log"
    )


def user_at(site: ClosedSite, home: Path, hub: Process) -> Process:
    """Return a user's program beside the hub."""
    (line,) = [text for text in hub.read_log().splitlines() if text.startswith("{")]
    where = json.loads(line)
    env = {**os.environ, "FARLAB_API_URL": where["api"], "FARLAB_API_TOKEN": API_TOKEN}
    argv = site.hub.command(sys.executable, "-c", USER, where["server"], str(home))
    return Process(argv, home / "user.log", env)


def test_streams_ride_on_a_tunnel_that_comes_back(
    site: ClosedSite, home: Path, started: list[Process]
) -> None:
    def start(process: Process, what: str, word: str = "") -> Process:
        started.append(process)
        process.start()
        process.wait_until(lambda: word in process.read_log(), what)
        return process

    def user_said(word: str) -> None:
        user.wait_until(lambda: word in user.read_log(), f"the user's program says {word}")

    login = login_node(site, home)
    started.append(login.process)
    login.start()
    start(plugin_at(site, home), "the plugin listens", "listening on")
    assert site.edge.reaches(NODE, PLUGIN_PORT)
    assert site.hub.reaches(EDGE_OUTSIDE, SSH_PORT)
    assert not site.hub.reaches(NODE, PLUGIN_PORT)
    assert not site.node.reaches(HUB, SSH_PORT)
    assert not site.node.reaches(EDGE_OUTSIDE, SSH_PORT)

    socket = home / "tunnel.sock"
    tunnel = login.tunnel(site.hub, socket, f"{NODE}:{PLUGIN_PORT}")
    start(tunnel, "ssh starts")
    tunnel.wait_until(socket.exists, "ssh makes the socket")
    hub = start(hub_at(site, home), "the hub service runs", '"server"')
    user = start(user_at(site, home, hub), "the user's program starts")
    user_said("before")
    assert "server: the hub's API | intact: True" in user.read_log()
    assert "kernel: 42 vega" in user.read_log()

    tunnel.stop()
    hub.wait_until(lambda: "no streams from this site" in hub.read_log(), "the hub notices")
    tunnel.start()
    back = f"connected to unix://{socket} again"
    hub.wait_until(lambda: back in hub.read_log(), "the hub is connected again")
    (home / "again").touch()
    user_said("done")
    assert user.read_log().count("server: the hub's API | intact: True") == 2
    assert "kernel still: 42" in user.read_log()
    for text in (hub.read_log(), (home / "plugin.log").read_text()):
        assert TOKEN not in text


def test_the_hubs_key_reaches_the_plugin_and_nothing_else(
    site: ClosedSite, home: Path, started: list[Process]
) -> None:
    plugin, login = plugin_at(site, home), login_node(site, home)
    started.extend((plugin, login.process))
    plugin.start()
    plugin.wait_until(lambda: "listening on" in plugin.read_log(), "the plugin listens")
    login.start()

    def asked(target: str) -> str:
        """Return what answers to a ping at the tunnel's other end; empty if nothing does."""
        here = home / "here.sock"
        tunnel = login.tunnel(site.hub, here, target)
        started.append(tunnel)
        tunnel.start()
        tunnel.wait_until(here.exists, "ssh makes the socket")
        curl = ["curl", "-s", "--unix-socket", str(here), "http://plugin/status"]
        answer = subprocess.run(curl, capture_output=True, text=True, check=False)
        tunnel.stop()
        here.unlink(missing_ok=True)
        return answer.stdout

    assert "with the site's token" in asked(f"{NODE}:{PLUGIN_PORT}")
    assert asked(f"{NODE}:{GATEWAY_PORT}") == ""  # an answer would be that of the gateway
