"""A user's kernel at a real site: service, plugin, agent and keeper, through the API alone."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from farlab_hub.pods import kernel_workload
from farlab_kernels.errands import pack
from farlab_kernels.link.link import KernelLink
from farlab_kernels.service.client import Client
from farlab_kernels.service.models import Workload
from farlab_kernels.service.settings import Settings
from farlab_real.kernel_parts import connected, execute
from farlab_real.plugin import RunningPlugin
from farlab_sites.carriers import carrier_for

PATIENCE = 120.0


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    with RunningPlugin(tmp_path_factory.mktemp("plugin"), {"local": {}}) as running:
        yield running


@pytest.fixture
async def service(place: Any, plugin: RunningPlugin) -> Any:
    """Return a service whose one site is the plugin's."""
    profile = {
        "name": "small",
        "title": "Small",
        "sizes": [{"title": "1 CPU", "cpu": 1, "memory": "1Gi"}],
        "images": [{"title": "this one", "image": sys.prefix}],
    }
    site = {"name": "here", "title": "Here", "kind": "cloud", "profiles": [profile]}
    place.catalogue.write_text(yaml.safe_dump({"sites": [{**site, "carrier": plugin.carrier}]}))
    place.carrier_for = carrier_for
    return await place.start()


@pytest.fixture
async def alice(service: Any) -> AsyncIterator[Client]:
    async with Client(Settings(service.api.base, "alice")) as client:
        yield client


async def until(client: Client, uid: str, *states: str) -> Workload:
    """Return a workload once it is in one of these states."""
    async with asyncio.timeout(PATIENCE):
        async for event in client.events(uid):
            if event.state in states:
                break
    return await client.get(uid)


async def ready(client: Client, uid: str) -> Workload:
    """Return a kernel that can be connected to."""
    workload = await until(client, uid, "ready", "failed")
    assert workload.state == "ready", workload
    return workload


async def followed(client: Client, uid: str) -> str:
    """Return what a workload's job writes until its end."""
    return "".join([line async for line in client.follow_logs(uid)])


async def test_a_kernel_from_request_to_end(service, alice):
    (site,) = await alice.sites()
    assert (site["name"], site["open"], site["kernels"]) == ("here", True, True)
    created = await alice.create("here", name="mine")
    assert (created.state, created.name, created.key) == ("requested", "mine", "")
    states = []
    async with asyncio.timeout(PATIENCE):
        async for event in alice.events(created.uid):
            states.append(event.state)
            if event.state == "ready":
                break
    assert (states[0], states[-1]) == ("requested", "ready")
    kernel = await alice.get(created.uid)
    assert kernel.key
    log = asyncio.create_task(followed(alice, created.uid))

    link = KernelLink(lambda port: alice.open_stream(created.uid, port), kernel.key)
    await asyncio.wait_for(link.start(), PATIENCE)
    async with connected(link) as client:
        result = await execute(client, "import os; print(6 * 7, os.environ['FARLAB_SITE'])")
        assert result.text == "42 here\n"
        hidden = await execute(
            client, "print([n for n in os.environ if 'KEY' in n or 'SECR' in n])"
        )
        assert hidden.text == "[]\n"
    await link.close()

    assert [one.uid for one in await alice.list()] == [created.uid]
    ended = await alice.cancel(created.uid)
    assert ended.state == "cancelled"
    assert await alice.list() == []
    await asyncio.wait_for(log, PATIENCE)  # it ends with the job
    assert (await alice.get(created.uid)).key == ""


async def test_a_kernel_that_is_shut_down_has_finished(service, alice):
    created = await alice.create("here")
    kernel = await ready(alice, created.uid)
    link = KernelLink(lambda port: alice.open_stream(created.uid, port), kernel.key)
    await asyncio.wait_for(link.start(), PATIENCE)
    async with connected(link) as client:
        client.shutdown()
        ended = await until(alice, created.uid, "finished", "failed")
    await link.close()
    assert (ended.state, ended.message) == ("finished", "The kernel ended by itself.")


async def test_a_kernel_that_does_nothing_is_ended(service, alice, monkeypatch):
    monkeypatch.setattr("farlab_hub.pods.idle_time", lambda *_: 1)
    created = await alice.create("here")
    ended = await until(alice, created.uid, "finished", "failed")
    assert (ended.state, ended.reason) == ("finished", "Idle")
    assert "did nothing" in ended.message
    assert "the kernel did nothing for 1 second: the site ends it" in ended.log_tail


async def test_a_kernel_that_begins_with_a_cell(service, alice, place):
    secret = "nobody-else-reads-this"
    first = pack("here", "night", f"print(x, {secret!r}); y = 2 * x", {"x": 21}, ())
    created = await alice.create("here", name="night", first=first)
    kernel = await ready(alice, created.uid)
    link = KernelLink(lambda port: alice.open_stream(created.uid, port), kernel.key)
    await asyncio.wait_for(link.start(), PATIENCE)
    (cell,) = await link.cells()
    said = [one async for one in link.history(cell["id"], follow=True) if one.kind == "stream"]
    assert "".join(one.content["text"] for one in said) == f"21 {secret}\n"
    async with connected(link) as client:
        result = await execute(client, "import os; print(y, os.environ.get('FARLAB_FIRST_CELL'))")
        assert result.text == "42 None\n"
    await link.close()
    assert secret not in (await alice.logs(created.uid))
    ended = await alice.cancel(created.uid)
    assert ended.state == "cancelled"


def test_a_first_cell_is_in_a_secret_alone():
    part = {
        "environment": {}, "extra_pod_config": {}, "extra_annotations": {}, "image": "i",
        "node_selector": {}, "cpu_limit": 1, "mem_limit": 1, "cpu_guarantee": 1,
        "mem_guarantee": 1, "extra_resource_limits": {},
    }  # fmt: skip
    chosen = SimpleNamespace(
        site=SimpleNamespace(name="here", relay=SimpleNamespace(url=""), idle=None),
        profile=SimpleNamespace(name="small", idle=None), partition=None,
        size=SimpleNamespace(title="S"), image="i", options={}, part=part,
    )  # fmt: skip
    made = kernel_workload(
        chosen, uid="1", owner="ada", groups=[], name="", relay_url="ws://r", secret="s" * 40,
        key="k" * 40, first=("my code", "AAAA"),
    )  # fmt: skip
    secret = made.secrets[-1]
    assert secret["metadata"] == {"name": "kernel-1-cell", "namespace": "farlab"}
    assert base64.b64decode(secret["data"]["code"]) == b"my code"
    assert "my code" not in json.dumps(made.pod)
    assert "AAAA" not in json.dumps(made.pod)
