"""Logs: whole, parts, by time, followed, and never anybody else's."""

from __future__ import annotations

import datetime
import json
import os
import re
import time
from pathlib import Path

import pytest
from farlab_real.plugin_pods import Client, Json, log_request, make_pod

LINES = "".join(f"line {number}\n" for number in range(1, 2001))


async def finished(plugin: Client, script: str) -> Json:
    """Return a pod that has run the script."""
    pod = make_pod(script)
    await plugin.create(pod)
    await plugin.wait_for(pod, "terminated")
    return pod


def job(home: Path, pod: Json) -> Path:
    """Return the pod's folder."""
    return home / "spool" / "jobs" / str(pod["metadata"]["uid"])


async def test_the_whole_and_its_end(plugin: Client) -> None:
    pod = await finished(plugin, "for i in $(seq 2000); do echo line $i; done")
    assert await plugin.logs(pod) == LINES
    assert await plugin.logs(pod, Tail=2) == "line 1999\nline 2000\n"
    assert await plugin.logs(pod, Tail=2000) == LINES
    assert await plugin.logs(pod, Tail=9999) == LINES
    assert await plugin.logs(pod, Bytes=10) == LINES[:10]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_the_end_of_a_log_longer_than_one_chunk(
    plugin: Client, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("farlab_sites.plugin.logs.CHUNK", size)
    pod = await finished(plugin, r"printf 'aa\n\nbbb\ncc'")
    assert await plugin.logs(pod) == "aa\n\nbbb\ncc"
    assert await plugin.logs(pod, Tail=1) == "cc"
    assert await plugin.logs(pod, Tail=2) == "bbb\ncc"
    assert await plugin.logs(pod, Tail=3) == "\nbbb\ncc"
    assert await plugin.logs(pod, Tail=4) == "aa\n\nbbb\ncc"
    whole = await finished(plugin, r"printf 'aa\nb\n'")
    assert await plugin.logs(whole, Tail=1) == "b\n"
    assert await plugin.logs(whole, Tail=2) == "aa\nb\n"


async def test_lines_have_times(plugin: Client, home: Path) -> None:
    pod = await finished(plugin, "echo early; echo late")
    stamped = await plugin.logs(pod, Timestamps=True)
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z "
    assert re.fullmatch(f"{form}early\n{form}late\n", stamped)
    # The runner notes when the file grew; here the first line is an hour older.
    now = time.time()
    (job(home, pod) / "logs" / "main.times").write_text(f"6 {now - 3600}\nrubbish\n11 {now}\n")
    assert await plugin.logs(pod, SinceSeconds=600) == "late\n"
    assert await plugin.logs(pod, SinceSeconds=7200) == "early\nlate\n"
    then = datetime.datetime.fromtimestamp(now - 600, datetime.UTC).isoformat()
    assert await plugin.logs(pod, SinceTime=then) == "late\n"
    first, second = (await plugin.logs(pod, Timestamps=True)).splitlines()
    assert first.endswith("early")
    assert second.endswith("late")
    assert first < second


async def test_output_is_followed_to_the_end_of_the_pod(plugin: Client, home: Path) -> None:
    pod = make_pod(
        f"for i in 1 2 3; do echo $i; while [ ! -e {home}/go-$i ]; do sleep 0.05; done; done"
    )
    await plugin.create(pod)
    body = json.dumps(log_request(pod, Follow=True))
    got = b""
    async with plugin.session.get(f"{plugin.base}/getLogs", data=body) as response:
        for number in (1, 2, 3):
            while f"{number}\n".encode() not in got:
                chunk = await response.content.readany()
                assert chunk, got
                got += chunk
            (home / f"go-{number}").touch()
        got += await response.content.read()
    assert got == b"1\n2\n3\n"


async def test_following_ends_when_the_pod_is_deleted(plugin: Client) -> None:
    pod = make_pod("echo here; sleep 600")
    await plugin.create(pod)
    await plugin.wait_for(pod, "running")
    body = json.dumps(log_request(pod, Follow=True))
    async with plugin.session.get(f"{plugin.base}/getLogs", data=body) as response:
        assert await response.content.readexactly(5) == b"here\n"
        await plugin.delete(pod)
        assert await response.content.read() == b""


async def test_a_pod_that_waits_has_no_output(plugin: Client) -> None:
    pods = [make_pod("sleep 600", resources={"limits": {"cpu": "64"}}) for _ in range(2)]
    for pod in pods:
        await plugin.create(pod)
    assert await plugin.logs(pods[1]) == ""
    assert await plugin.logs(pods[1], Tail=5) == ""


async def test_a_silent_job_shows_what_the_batch_system_wrote(plugin: Client, home: Path) -> None:
    pod = await finished(plugin, "true")
    assert await plugin.logs(pod) == ""
    (job(home, pod) / "job.log").write_text("slurmstepd: error: out of memory\n")
    assert await plugin.logs(pod) == "slurmstepd: error: out of memory\n"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Tail": 1, "Bytes": 1}, "not for both"),
        ({"SinceSeconds": 1, "SinceTime": "2026-01-01T00:00:00Z"}, "not for both"),
        ({"Tail": -1}, "Opts.Tail"),
        ({"SinceTime": "yesterday"}, "Opts.SinceTime"),
    ],
)
async def test_options_that_make_no_sense(plugin: Client, options: Json, words: str) -> None:
    code, text = await plugin.call("GET", "/getLogs", log_request(make_pod(), **options))
    assert (code, words in text) == (400, True)


async def test_a_container_that_the_pod_does_not_have(plugin: Client) -> None:
    pod = await finished(plugin, "true")
    code, text = await plugin.call("GET", "/getLogs", log_request(pod, "other"))
    assert (code, text) == (400, "the pod has no container 'other': main")


@pytest.mark.parametrize("kind", ["link", "fifo"])
async def test_what_is_no_file_of_the_job_is_not_read(
    plugin: Client, home: Path, kind: str
) -> None:
    (home / "foreign").write_text("not yours")
    pod = await finished(plugin, "echo mine")
    path = job(home, pod) / "logs" / "main.log"
    path.unlink()
    if kind == "link":
        path.symlink_to(home / "foreign")
    else:
        os.mkfifo(path)
    assert await plugin.logs(pod) == ""
    assert await plugin.logs(pod, Tail=3) == ""
