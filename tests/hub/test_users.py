"""What users ask for: kernels of the catalogue, within its limits; events and logs as they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from typing import Any

import aiohttp
import pytest

PROFILES = """
  - name: big
    title: Big
    kind: hpc
    carrier: {{direct: {{url: "unix://{folder}/cloud.sock"}}}}
    walltime: "2:00:00"
    idle: "1:00:00"
    limits: {{workloads_per_user: 2, workloads: 3}}
    relay: {{way: gateway, url: "ws://edge:4001"}}
    environment: {{OMP_NUM_THREADS: "8"}}
    profiles:
      - name: cpu
        title: CPU
        sizes: [{{title: "2 CPU", cpu: 2, memory: 4Gi}}, {{title: "4 CPU", cpu: 4, memory: 8Gi}}]
        images: [{{title: plain, image: /opt/plain}}]
      - name: gpu
        title: GPU
        idle: "0:10:00"
        sizes: [{{title: small, cpu: 1, memory: 1Gi}}]
        partitions:
          - {{title: "one A100", partition: gpu, gpus: 1, gpu_type: a100}}
          - {{title: "two A100", partition: gpu, gpus: 2, gpu_type: a100, walltime: "1:00:00"}}
        images: [{{title: plain, image: /opt/plain}}, {{title: other, image: /opt/other}}]
        other_image: {{allow: "/opt/.*"}}
"""


@pytest.fixture(autouse=True)
def big(place: Any) -> None:
    """Add a site with limits and choices to the catalogue."""
    place.sites["big"] = place.sites["cloud"]
    text = place.catalogue.read_text() + PROFILES.format(folder=place.folder)
    place.catalogue.write_text(text)


@pytest.fixture
def ask(place: Any, running: Any) -> Any:
    """Return a function that asks for a kernel."""

    async def ask(token: str = "alice", **wishes: Any) -> tuple[int, Any]:
        body = {"kind": "kernel", "site": "big", **wishes}
        status, answer = await running.api.call("POST", "workloads", token=token, json=body)
        return status, answer

    return ask


async def test_a_choice_becomes_a_pod(place, running, ask):
    status, kernel = await ask(gpus=2, image="other", walltime="0:30:00", name="mine")
    assert status == 201, kernel
    assert (kernel["profile"], kernel["name"], kernel["kind"]) == ("gpu", "mine", "kernel")
    chosen = {"size": "small", "partition": "two-a100", "gpus": 2, "image": "other"}
    assert kernel["options"] == chosen
    uid = kernel["uid"]
    await running.api.until(uid, lambda w: w["job_id"] != "")
    pod = place.sites["cloud"].pods[uid]
    assert pod["spec"]["activeDeadlineSeconds"] == 1800
    flags = pod["metadata"]["annotations"]["slurm-job.vk.io/flags"]
    assert flags == "--partition=gpu --gres=gpu:a100:2 --time=30"
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "/opt/other"
    limits = {"cpu": "1", "memory": str(2**30), "nvidia.com/gpu": "2"}
    assert container["resources"]["limits"] == limits
    agent, keeper = " ".join(container["args"]).split(" -- ")
    assert agent == "farlab-agent --port 9000"
    assert keeper == "python -P -m farlab_kernels.keeper --port {port:9000}"
    env = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert env["FARLAB_RELAY_URL"] == "ws://edge:4001"
    assert (env["OMP_NUM_THREADS"], env["FARLAB_IDLE"]) == ("8", "600")
    # Secrets are not in it.
    assert env["FARLAB_SECRET"] is env["FARLAB_KERNEL_KEY"] is None
    key = (await running.api.call("GET", f"workloads/{uid}", token="alice"))[1]["key"]
    assert key not in json.dumps(pod)
    (secret,) = place.sites["cloud"].secrets[uid]
    assert set(secret["data"]) == {"FARLAB_SECRET", "FARLAB_KERNEL_KEY"}


@pytest.mark.parametrize(
    ("wishes", "status", "words"),
    [
        ({"site": "bog"}, 404, 'Did you mean "big"?'),
        ({"site": "vega", "token": "bob"}, 404, "not offered"),
        ({"profile": "tpu"}, 400, 'Did you mean "gpu"? (known: cpu, gpu)'),
        ({"gpus": 3}, 400, "Choose one of 0, 1, 2"),
        ({"partition": "fpga"}, 400, "one-a100"),
        ({"size": "huge"}, 400, "2-cpu, 4-cpu"),
        ({"image": "/etc/passwd"}, 400, "Choose one of plain"),
        ({"profile": "gpu", "image": "/etc/passwd"}, 400, "must match /opt/"),
        ({"walltime": "9:00:00"}, 400, "Ask for 2:00:00 or less"),
        ({"walltime": "soon"}, 400, "8:00:00"),
        ({"name": "a\nb"}, 400, "control characters"),
        ({"uid": "7"}, 400, "UUID"),
    ],
)
async def test_what_cannot_be_had_says_what_can(ask, wishes, status, words):
    answered, answer = await ask(**wishes)
    assert answered == status, answer
    assert words in f"{answer['message']} {answer['fix']}"


async def test_the_profile_is_found_by_what_it_has(ask):
    for wishes, profile in (({}, "cpu"), ({"size": "small"}, "gpu"), ({"image": "other"}, "gpu")):
        status, kernel = await ask(token="bob" if wishes else "alice", **wishes)
        assert (status, kernel["profile"]) == (201, profile)


async def test_the_same_request_again_is_the_same_kernel(running, ask):
    uid = "123e4567-e89b-42d3-a456-426614174000"
    first, again = await asyncio.gather(ask(uid=uid, name="mine"), ask(uid=uid, name="mine"))
    assert first[0] == again[0] == 201
    assert [one["uid"] for one in await listed(running)] == [uid]
    assert (await ask("bob", uid=uid))[0] == 409


async def listed(running: Any, query: str = "") -> Any:
    status, answer = await running.api.call("GET", f"workloads{query}", token="alice")
    assert status == 200
    return answer


async def test_the_catalogues_limits_hold(running, ask):
    answers = await asyncio.gather(*(ask() for _ in range(5)))
    assert sorted(status for status, _ in answers) == [201, 201, 429, 429, 429]
    refused = next(answer for status, answer in answers if status == 429)
    assert refused["code"] == "user-limit"
    assert refused["message"] == "alice has 2 workloads at Big, and may have 2"
    assert (await ask("bob"))[0] == 201
    status, full = await ask("bob")
    assert (status, full["code"]) == (429, "site-limit")
    mine = [answer["uid"] for status, answer in answers if status == 201]
    await running.api.call("DELETE", f"workloads/{mine[0]}", token="alice")
    assert (await ask())[0] == 201
    assert (await ask(site="cloud"))[0] == 201  # another site has its own


async def test_servers_count_too(place, running, ask):
    for _ in range(2):
        await place.announce(site="big")
    assert (await ask())[1]["code"] == "user-limit"
    body = place.announcement(site="big")
    assert (await running.api.call("POST", "workloads", json=body))[1]["code"] == "user-limit"


async def test_a_name_is_one_workload_of_ones_own(running, ask):
    status, first = await ask(name="mine")
    assert status == 201
    status, taken = await ask(site="cloud", name="mine")
    assert (status, taken["code"]) == (409, "name-taken")
    assert (await ask("bob", name="mine"))[0] == 201
    await running.api.call("DELETE", f"workloads/{first['uid']}", token="alice")
    assert (await ask(site="cloud", name="mine"))[0] == 201


async def test_sites_tell_what_can_be_chosen(running, ask):
    _, sites = await running.api.call("GET", "sites", token="alice")
    known = {site["name"]: site for site in sites}
    assert {name: site["kernels"] for name, site in known.items()} == {
        "vega": True, "cloud": True, "cluster": True, "big": True,
    }  # fmt: skip
    cpu, gpu = known["big"]["profiles"]
    assert [size["key"] for size in cpu["sizes"]] == ["2-cpu", "4-cpu"]
    assert (cpu["walltime"], cpu["idle"], gpu["idle"]) == (7200, 3600, 600)
    assert [(one["key"], one["gpus"], one["walltime"]) for one in gpu["partitions"]] == [
        ("one-a100", 1, 7200), ("two-a100", 2, 3600),
    ]  # fmt: skip
    assert gpu["other_image"]


async def test_ended_ones_are_listed_when_asked_for(running, ask):
    uids = [(await ask(site="cloud"))[1]["uid"] for _ in range(3)]
    await running.api.call("DELETE", f"workloads/{uids[0]}", token="alice")
    assert [one["uid"] for one in await listed(running)] == uids[1:]
    assert [one["uid"] for one in await listed(running, "?state=all")] == uids
    assert [one["uid"] for one in await listed(running, "?state=all&limit=2")] == uids[1:]


async def test_a_kernel_outlives_the_service(place, running, ask):
    _, kernel = await ask()
    uid = kernel["uid"]
    await running.api.state(uid, "queued")
    key = (await running.api.call("GET", f"workloads/{uid}", token="alice"))[1]["key"]
    (file,) = (place.folder / "state" / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    await place.stop()
    again = await place.start()
    found = (await again.api.call("GET", f"workloads/{uid}", token="alice"))[1]
    assert (found["state"], found["key"], found["options"]) == ("queued", key, kernel["options"])
    assert (found["address"], found["port"]) == ("", None)
    await again.api.call("DELETE", f"workloads/{uid}", token="alice")
    assert not file.exists()


class Events:
    """A reader of server-sent events."""

    def __init__(self, place: Any, running: Any, uid: str) -> None:
        self.place = place
        self.url = f"{running.api.base}workloads/{uid}/events"

    @contextlib.asynccontextmanager
    async def open(self, after: str = "") -> Any:
        headers = {"Authorization": "Bearer alice"}
        headers |= {"Last-Event-ID": after} if after else {}
        async with self.place.session.get(self.url, headers=headers) as answer:
            yield answer

    @staticmethod
    async def read(answer: aiohttp.ClientResponse, until: str = "") -> list[dict[str, Any]]:
        """Return the events up to the end, or to the first in a state."""
        seen: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while block := await answer.content.readuntil(b"\n\n"):
                fields = dict(line.split(": ", 1) for line in block.decode().strip().splitlines())
                if "data" in fields:
                    seen.append(json.loads(fields["data"]))
                    assert fields["id"] == str(seen[-1]["seq"])
                if seen and seen[-1]["state"] == until:
                    break
        return seen


async def test_events_are_followed_and_none_is_missed_after_a_cut(place, running, ask):
    _, kernel = await ask()
    uid = kernel["uid"]
    events = Events(place, running, uid)
    async with events.open() as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        first = await events.read(answer, "queued")
    assert [one["seq"] for one in first] == [*range(1, len(first) + 1)]
    assert first[0]["state"] == "requested"

    place.sites["cloud"].run(uid)
    await running.api.state(uid, "starting")
    await place.stop()
    again = await place.start()
    events = Events(place, again, uid)
    async with events.open(str(first[-1]["seq"])) as answer:
        more = await events.read(answer, "starting")
        assert more[0]["seq"] == first[-1]["seq"] + 1
        await again.api.call("DELETE", f"workloads/{uid}", token="alice")
        last = await events.read(answer)
    assert last[-1]["state"] == "cancelled"
    seen = [one["seq"] for one in [*first, *more, *last]]
    assert seen == [*range(1, len(seen) + 1)]
    newest = (await again.api.call("GET", f"workloads/{uid}", token="alice"))[1]["seq"]
    async with events.open(str(newest)) as answer:
        assert answer.status == 204  # nothing will follow: an EventSource stops asking
    async with events.open("-1; drop") as answer:  # no number: from the beginning
        assert (await events.read(answer))[0]["seq"] == 1


async def test_silent_events_give_signs_of_life(monkeypatch, place, running, ask):
    monkeypatch.setattr("farlab_hub.streaming.BEAT", 0.05)
    _, kernel = await ask()
    events = Events(place, running, kernel["uid"])
    async with events.open() as answer:
        await events.read(answer, "queued")
        for _ in range(3):
            assert (await answer.content.readuntil(b"\n\n")).startswith(b":")
    waiting = running.service.journal
    async with asyncio.timeout(60):
        while waiting.waiting:  # the reader has gone, so nobody waits for its sake
            await asyncio.sleep(0.02)


async def test_a_log_is_followed(place, running, ask):
    place.sites["cloud"].text = "one\ntwo\n"
    _, kernel = await ask()
    url = f"{running.api.base}workloads/{kernel['uid']}/logs?follow=1"
    headers = {"Authorization": "Bearer alice"}
    async with place.session.get(url, headers=headers) as answer:  # it waits for the job
        assert answer.content_type == "text/plain"
        assert await answer.text() == "one\ntwo\n"
    await running.api.call("DELETE", f"workloads/{kernel['uid']}", token="alice")
    async with place.session.get(url, headers=headers) as answer:
        assert answer.status == 200
