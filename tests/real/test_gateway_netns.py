"""A compute node without any way out: it reaches the edge node, and through it the hub.

Three network namespaces: a relay in the hub's, the real plugin with its gateway in the edge's, and
a pod's job, with agent and payload, in the node's, which has no route to the hub.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from farlab_real import netns
from farlab_real.netns import ClosedSite, closed_site
from farlab_real.plugin_pods import (
    Client,
    configuration,
    eventually,
    kill_all,
    make_pod,
    plugin_folder,
    processes_with,
)
from farlab_real.processes import Process

RELAY_PORT, GATEWAY_PORT = 8091, 4001

# The hub's side: a relay, the hub's API behind it, and a browser that asks the workload once.
HUB = """
import asyncio, json, sys
from farlab_relay.relay import Relay

workload, secret, host, port = sys.argv[1:]

async def api(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.0 200 OK\\r\\n\\r\\nthe hub's API")
    writer.close()

async def verify(name, given, instance):
    return (name, given) == (workload, secret)

async def main():
    server = await asyncio.start_server(api, "127.0.0.1", 0)
    upstreams = {"hub": server.sockets[0].getsockname()[:2]}
    relay = Relay(verify=verify, on_event=lambda *_: None, upstreams=upstreams)
    await relay.listen(host, int(port))
    public = await relay.open_port(workload, 8888)
    print(json.dumps({"listening": True}), flush=True)
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", public)
            writer.write(b"GET / HTTP/1.0\\r\\n\\r\\n")
            answer = await reader.read()
            writer.close()
        except OSError:
            answer = b""
        if answer:
            break
        await asyncio.sleep(0.1)
    print(json.dumps({"answer": answer.decode()}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

# The server in the job: asks the hub's API and passes the answer on.
PAYLOAD = """
import http.server, sys, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[2]}/", timeout=30) as api:
            text = b"the job heard: " + api.read()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text)

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
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


def plugin_on_the_edge(site: ClosedSite, home: Path) -> Process:
    """Return a plugin on the edge node whose jobs run on the compute node."""
    python = home / "python-on-the-node"
    python.write_text(f'#!/bin/sh\nexec {" ".join(site.node.command(sys.executable))} "$@"\n')
    python.chmod(0o755)
    gateway = {
        "listen": f"{netns.EDGE_INSIDE}:{GATEWAY_PORT}",
        "relay": f"ws://{netns.HUB}:{RELAY_PORT}",
    }
    (home / "plugin.yaml").write_text(configuration(home, python=str(python), gateway=gateway))
    module = ["-m", "farlab_sites.plugin.main", "--config", f"{home}/plugin.yaml"]
    return Process(site.edge.command(sys.executable, *module), home / "plugin.log")


async def test_a_node_that_reaches_only_the_edge(site: ClosedSite, home: Path) -> None:
    secret = "a-secret-of-this-workload"
    environment = {
        "FARLAB_RELAY_URL": f"ws://{netns.EDGE_INSIDE}:{GATEWAY_PORT}",
        "FARLAB_SECRET": secret,
    }
    payload = [sys.executable, "-c", PAYLOAD, "{port:8888}", "{call:hub}"]
    agent = [sys.executable, "-m", "farlab_relay.agent", "--port", "8888", "--call", "hub", "--"]
    pod = make_pod(command=[*agent, *payload])
    uid = pod["metadata"]["uid"]
    environment["FARLAB_WORKLOAD"] = uid
    pod["spec"]["containers"][0]["env"] = [
        {"name": name, "value": value} for name, value in environment.items()
    ]
    hub = Process(
        site.hub.command(sys.executable, "-c", HUB, uid, secret, netns.HUB, str(RELAY_PORT)),
        home / "hub.log",
    )
    plugin = plugin_on_the_edge(site, home)
    client = Client(f"unix://{home}/plugin.sock")

    def said(process: Process, what: str) -> bool:
        assert process.running, process.read_log()
        return what in process.read_log()

    try:
        hub.start()
        plugin.start()
        hub.wait_until(lambda: said(hub, "listening"), "the relay listens")
        plugin.wait_until(lambda: said(plugin, "listening on"), "the plugin listens")
        assert site.edge.reaches(netns.HUB, RELAY_PORT)
        assert site.node.reaches(netns.EDGE_INSIDE, GATEWAY_PORT)
        for address in (netns.HUB, netns.EDGE_OUTSIDE):
            assert not site.node.reaches(address, RELAY_PORT)

        await client.create(pod)

        async def answered() -> bool:
            return said(hub, "answer")

        await eventually(answered, "a browser at the hub gets the job's answer")
        answer = json.loads(hub.read_log().splitlines()[-1])["answer"]
        assert answer.endswith("the job heard: the hub's API")
        await client.delete(pod)
    finally:
        await client.session.close()
        plugin.stop()
        hub.stop()
