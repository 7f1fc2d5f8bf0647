"""The ways between hub, service and sites: names of ports, and tunnels to plugins."""

from __future__ import annotations

import asyncio

from farlab_real.tunnel_parts import Site

PATIENCE = 60.0


async def test_ports_are_told_by_the_name_of_this_host(place, agent):
    """As the name of a Service, behind which the proxy finds the service's pod."""
    place.ports_host = "localhost"
    running = await place.start()
    uid = await place.submitted()
    place.sites["cloud"].run(uid)
    await agent(uid)
    server = await running.api.state(uid, "ready")
    assert server["address"] == f"http://localhost:{server['port']}"
    async with place.session.get(server["address"]) as answer:
        assert answer.status == 200
    await place.stop()
    place.ports_host = "127.0.0.1"
    again = await place.start()
    moved = await again.api.get(f"workloads/{uid}")
    assert moved["address"] == f"http://127.0.0.1:{server['port']}"


def through(place, site: str, relay: str) -> None:
    """Let a site's entry in the catalogue say how its streams go."""
    text = place.catalogue.read_text()
    name = f"  - name: {site}\n"
    assert name in text
    place.catalogue.write_text(text.replace(name, f"{name}    relay: {relay}\n"))


async def test_agents_come_through_their_own_sites_plugin_alone(place, agent):
    async with (
        Site("w").running(place.folder / "cloud.sock") as cloud,
        Site("w").running(place.folder / "vega.sock") as vega,
    ):
        for site in (cloud, vega):
            site.gateway._allowed = lambda _: True  # whatever the plugins know
        through(place, "cloud", f"{{way: tunnelled, url: '{cloud.url}'}}")
        through(place, "vega", f"{{way: tunnelled, url: '{vega.url}'}}")
        running = await place.start()
        uid = await place.submitted()
        place.sites["cloud"].run(uid)
        # Even with the right secret: it is another site's workload.
        stranger = await agent(uid, url=vega.url)
        assert await asyncio.wait_for(stranger.wait(), PATIENCE) == 77
        await agent(uid, url=cloud.url)
        server = await running.api.state(uid, "ready")
        async with place.session.get(server["address"]) as answer:
            assert answer.status == 200


async def test_a_tunnel_follows_the_catalogue(place, until, caplog):
    relay = "{way: tunnelled, url: 'ws://edge:4001'}"
    async with Site("w").running(place.folder / "cloud.sock") as cloud:
        running = await place.start()
        assert cloud.end._line is None
        before = place.catalogue.read_text()
        through(place, "cloud", relay)
        await running.api.get("sites?user=alice&group=itw")
        await until(lambda: cloud.end._line is not None)
        place.catalogue.write_text(before)
        await running.api.get("sites?user=alice&group=itw")
        await until(lambda: cloud.end._line is None)


async def test_a_token_that_is_missing_is_told(place, until, caplog):
    url = f'url: "unix://{place.folder}/cloud.sock"'
    text = place.catalogue.read_text()
    place.catalogue.write_text(text.replace(url, f"{url}, token_file: {place.folder}/token"))
    through(place, "cloud", "{way: tunnelled, url: 'ws://edge:4001'}")
    async with Site("w").running(place.folder / "cloud.sock") as cloud:
        await place.start()
        await until(lambda: f"{place.folder}/token can't be read" in caplog.text)
        (place.folder / "token").write_text("two words")
        await until(lambda: "must hold one word" in caplog.text)
        (place.folder / "token").write_text("word")
        await until(lambda: cloud.end._line is not None)
