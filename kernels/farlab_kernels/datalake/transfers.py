"""What takes its time: downloads of a folder, uploads, rules; each says how it is coming along.

The server carries uploads and the lake carries rules: they go on when nobody waits any more.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from farlab_kernels.datalake.client import LakeClient
from farlab_kernels.datalake.downloads import (
    ASKED,
    AT_ONCE,
    download,
    files_below,
    is_here,
    target_of,
    with_paths,
)
from farlab_kernels.datalake.errors import LakeError, LakeNotFoundError, error_of
from farlab_kernels.datalake.listing import Listing, Row
from farlab_kernels.datalake.paths import Place
from farlab_kernels.datalake.tables import size_words

Answer = TypeVar("Answer")
Tell = Callable[[str], object]
_SHORTEST_PAUSE = 0.05  # seconds between two questions about an upload, at first
_PAUSE = 0.5
_LONGEST_PAUSE = 5.0
_PATIENCE = 60.0  # seconds that a server may be away


def name_of(place: Place) -> str:
    """Return the last name of a place."""
    return place.path.rpartition(":")[2].rpartition("/")[2] or place.lake


async def get(client: LakeClient, place: Place, to: str, tell: Tell) -> list[Path]:
    """Bring a file, or what is in a folder or dataset, to a file or folder here."""
    listing, target = Listing(client), await asyncio.to_thread(Path(to).expanduser)
    if (info := await listing.info(place))["type"] == "file":
        inside = await asyncio.to_thread(target.is_dir)
        target = target / name_of(place) if inside else target
        return await _get_all(client, [(info, target)], tell)
    rows = [row async for row in files_below(listing, place)]
    if not rows:
        raise LakeNotFoundError(f"{place} holds no files", "Choose another.", code="not-found")
    if await listing.kind(place.lake) == "rucio":
        some = [rows[start : start + ASKED] for start in range(0, len(rows), ASKED)]
        rows = [row for one in some for row in await with_paths(client, one)]
    return await _get_all(client, [(row, target_of(row, place, target)) for row in rows], tell)


async def _get_all(client: LakeClient, wanted: list[tuple[Row, Path]], tell: Tell) -> list[Path]:
    total = sum(row.get("size") or 0 for row, _ in wanted)
    done, turns = 0, asyncio.Semaphore(AT_ONCE)

    def moved(more: int) -> None:
        nonlocal done
        done += more
        tell(f"{size_words(done)} of {size_words(total)}, {len(wanted)} files")

    async def one(row: Row, target: Path) -> Path:
        async with turns:
            if await is_here(row, target):
                moved(row.get("size") or 0)
                return target
            return await download(client, row, target, moved)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(*pair)) for pair in wanted]
    except ExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in tasks]


async def put(client: LakeClient, wanted: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    """Upload a file or folder of the server's machine; go on with the same one if it was cut."""
    job, pause = await _begin(client, wanted), _SHORTEST_PAUSE
    while job["state"] == "running":
        tell(_progress(job))
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _PAUSE)
        job = _found(await _patiently(client.uploads), job)
    if job["state"] == "failed":
        raise error_of(job.get("error") or {})
    if job["state"] != "done":
        words = f"the upload of {job['source']} was cut"
        raise LakeError(words, "The same command goes on with it.", code="cut")
    tell(_progress(job))
    return job


async def _patiently(question: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask again for a while where the server or the lake does not answer."""
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            return await question()
        except LakeError as error:
            if error.code not in ("unreachable", "cut") or time.monotonic() > end:
                raise
        await asyncio.sleep(_LONGEST_PAUSE)


async def _begin(client: LakeClient, wanted: Mapping[str, Any]) -> dict[str, Any]:
    same = ("lake", "source", "dataset", "folder", "prefix", "rse")
    for job in reversed(await client.uploads()):
        if (
            all((job.get(key) or "") == (wanted.get(key) or "") for key in same)
            and job["state"] != "done"
        ):
            return job if job["state"] == "running" else await client.resume(str(job["id"]))
    return await client.upload(wanted)


def _found(jobs: list[dict[str, Any]], wanted: Mapping[str, Any]) -> dict[str, Any]:
    for job in jobs:
        if job["id"] == wanted["id"]:
            return job
    raise LakeError("the upload was cancelled", "Start it again if you want it.", code="cut")


def _progress(job: Mapping[str, Any]) -> str:
    done = job.get("progress") or {}
    moved, total = size_words(done.get("size_done") or 0), size_words(done.get("size") or 0)
    return f"{done.get('files_done', 0)} of {done.get('files', 0)} files, {moved} of {total}"


async def copy(
    client: LakeClient, source: Place, target: Place, tell: Tell, *, overwrite: bool = False
) -> dict[str, Any]:
    """Copy a file or folder from a lake to a lake, and wait until it is there."""
    pair = (source.path, target.path)
    job = await client.copy(source.lake, target.lake, [pair], overwrite=overwrite)
    pause = _PAUSE
    while job["state"] in ("waiting", "active"):
        tell(_carried(job))
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
        job = await _patiently(partial(client.transfer, str(job["id"])))
    tell(_carried(job))
    if job["state"] != "done":
        words = f"{job['files_done']} of {job['files_total']} files arrived: {job['reason']}"
        fix = "The same command tries the others again."
        raise LakeError(words, fix, code=str(job["state"]))
    return job


def _carried(job: Mapping[str, Any]) -> str:
    words = f"{job['files_done']} of {job['files_total']} files, {size_words(job['bytes_done'])}"
    return words if not job["rate"] else f"{words}, {size_words(job['rate'])}/s"


async def make_available(
    client: LakeClient, place: Place, rse: str, days: int | None, tell: Tell
) -> dict[str, Any]:
    """Have data brought to an RSE (this server's if none is named), and wait until it is there.

    A rule that is stuck is still waited for, with its reason: the lake tries again by itself.
    """
    rule = await add_rule(client, place, rse, days)
    pause = _PAUSE
    while rule["state"] != "ok":
        tell(rule_words(rule))
        await asyncio.sleep(pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
        rule = await _patiently(partial(client.rule, place.lake, str(rule["id"])))
    tell(rule_words(rule))
    return rule


async def add_rule(client: LakeClient, place: Place, rse: str, days: int | None) -> dict[str, Any]:
    """Add a rule, or return the one that is there already."""
    try:
        return await client.add_rule(place.lake, place.path, rse, days)
    except LakeError as error:
        if error.code != "conflict":
            raise
        wanted = rse or await _own_rse(client, place.lake)
        for rule in await client.rules(place.lake, place.path):
            if rule["rse"] == wanted:
                return rule
        raise


async def _own_rse(client: LakeClient, lake: str) -> str:
    return next((str(one["rse"]) for one in await client.lakes() if one["name"] == lake), "")


def rule_words(rule: Mapping[str, Any]) -> str:
    """Say how far a rule has come, and why no further."""
    total = rule["ok"] + rule["replicating"] + rule["stuck"]
    words = f"{rule['did']} at {rule['rse']}: {rule['ok']} of {total} files there"
    if rule["state"] in ("ok", "replicating"):
        return words
    reasons = [str(one["reason"]) for one in rule.get("reasons") or () if one.get("reason")]
    why = (reasons or [str(rule.get("error") or "it is not said why")])[0]
    return f"{words}; {str(rule['state']).replace('_', ' ')}: {why}"
