"""Names and refusals of all kinds of lakes: what users and servers say that nobody expects."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from farlab_real.counting import CountingProxy
from farlab_real.rucio_server import RunningRucio
from farlab_real.rucio_world import OpenLake, lake_of
from farlab_server_ext.datalake.lake import LakeError
from farlab_server_ext.datalake.plans import Plan
from farlab_server_ext.datalake.rucio.did import parse
from farlab_server_ext.datalake.rucio.upload import Upload

NAMES = [
    "run/2024/day 1.nc",
    "a:b:c",
    "50%2F",
    "100%",
    "ü😀",
    "q?x=1&y=2#z",
    "x" * 250,
    "...",
    "a..b",
    "+plus",
]


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_made_described_filled_and_found(open_lake: OpenLake, name: str) -> None:
    lake = open_lake()
    path = f"play:{secrets.token_hex(3)}{name}"[: 250 + len("play:")]
    await lake.create(path, "dataset", {"colour": "blue"}, 30)
    await lake.attach(path, ["demo:day-001.csv", "demo:day-002.csv"])
    await lake.detach(path, ["demo:day-002.csv"])
    (only,) = (await lake.children(path)).entries
    assert only.path == "demo:day-001.csv"
    await lake.set_many({path: {"colour": "red", "size": 3}})
    await lake.keep(path, None)
    details = await lake.details(path)
    assert (details.metadata["colour"], details.metadata["size"]) == ("red", 3)
    assert details.metadata.get("expired_at") is None
    await lake.close_did(path)
    assert (await lake.details(path)).entry.state == "closed"
    with pytest.raises(LakeError) as caught:
        await lake.attach(path, ["demo:day-003.csv"])
    # Rucio writes a refusal into a header, which holds no name such as this, and fails over it.
    assert caught.value.code == ("bad-answer" if "😀" in name else "conflict")


@pytest.mark.parametrize("path", ["play:" + "x" * 251, "play:a\0b", "play:", ":x", "play"])
async def test_what_is_no_name(open_lake: OpenLake, path: str) -> None:
    lake = open_lake()
    for call in (
        lake.create(path, "dataset"),
        lake.attach(path, ["demo:day-001.csv"]),
        lake.set_many({path: {"a": 1}}),
        lake.keep(path, 3),
        lake.close_did(path),
    ):
        with pytest.raises(LakeError) as caught:
            await call
        assert caught.value.code == "wrong-input"


async def test_refusals_in_words(open_lake: OpenLake) -> None:
    alice, bob = open_lake(), open_lake("bob")
    calls: list[tuple[Any, str]] = [
        (alice.create("demo:days", "dataset"), "conflict"),
        (alice.create("no.scope:x", "dataset"), "not-found"),
        (bob.create("demo:bobs", "dataset"), "denied"),
        (bob.attach("demo:days", ["demo:day-001.csv"]), "denied"),
        (bob.set_metadata("demo:days", {"a": 1}), "denied"),
        (bob.set_many({"demo:days": {"a": 1}}), "denied"),
        (alice.attach("demo:days", ["demo:nothing"]), "not-found"),
        (alice.attach("demo:days", ["demo:year"]), "conflict"),
        (alice.keep("demo:days", 0), "wrong-input"),
        (alice.set_many({"demo:nothing": {"a": 1}}), "not-found"),
        (alice.create("play:keys", "dataset", {"a b": 1}), "wrong-input"),
    ]
    for call, code in calls:
        with pytest.raises(LakeError) as caught:
            await call
        assert caught.value.code == code, caught.value
        assert caught.value.message
        assert caught.value.fix


async def test_of_many_changes_all_are_made_or_none(open_lake: OpenLake) -> None:
    lake = open_lake()
    path = f"play:many-{secrets.token_hex(4)}"
    await lake.create(path, "dataset")
    with pytest.raises(LakeError):
        await lake.set_many({path: {"a": 1}, "play:nothing-of-this-name": {"a": 1}})
    assert "a" not in (await lake.details(path)).metadata


async def test_a_file_that_has_vanished_from_its_rse(
    open_lake: OpenLake, rucio: RunningRucio
) -> None:
    name = f"vanishes-{secrets.token_hex(4)}"
    (file,) = rucio.admin.put("VEGA", rucio.folder / "vega", "play", {name: b"x"}).values()
    lake = open_lake()
    assert await lake.read(f"play:{name}") == b"x"
    file.unlink()
    with pytest.raises(LakeError, match="tell the site") as caught:
        await lake.read(f"play:{name}")
    assert caught.value.code == "damaged"


async def test_an_rse_that_is_full(
    open_lake: OpenLake, tmp_path: Path, rucio: RunningRucio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its disk takes no byte more: what was begun is removed, and nothing is registered."""
    (tmp_path / "f").write_bytes(b"x" * 1000)
    before = {path for path in (rucio.folder / "vega").rglob("*") if path.is_file()}

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    lake = open_lake()
    dataset = f"user.alice:full-{secrets.token_hex(4)}"
    with pytest.raises(LakeError) as caught:
        await Upload(lake, Plan("f0", str(tmp_path / "f"), dataset, f"{dataset[11:]}/")).run()
    assert caught.value.code == "full"
    assert {path for path in (rucio.folder / "vega").rglob("*") if path.is_file()} == before
    assert (await lake.children(dataset)).entries == ()


async def test_fifty_users_ask_rucio_once_each_and_see_their_own(rucio: RunningRucio) -> None:
    async with CountingProxy(rucio.url) as proxy:
        users = [
            lake_of(proxy.url, ("alice", "bob")[number % 2], silence=300) for number in range(50)
        ]
        await asyncio.gather(*(one.client.who.token() for one in users))
        proxy.asked.clear()
        pages = await asyncio.gather(*(one.children("demo:days", "", 5) for one in users))
        assert all(len(page.entries) == 5 for page in pages)
        assert len(proxy.asked) == 50
        # Nothing that one has read is given to another: each next page is one's own, too.
        for one, page in zip(users[:2], pages[:2], strict=True):
            await one.children("demo:days", page.next or "", 5)
            assert await one.client.account() in ("alice", "bob")
        assert await users[0].client.account() != await users[1].client.account()
        for one in users:
            await one.close()


def test_no_name_is_a_way_to_another_call() -> None:
    assert parse("../rules:x/../../y").address == "..%2Frules/x%2F..%2F..%2Fy"
