"""What sacct's lines mean, and which usages are believed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from farlab_sites.carriers.podusage import usage_of
from farlab_sites.kubelet.metering import Meters
from farlab_sites.kubelet.pods import trimmed
from farlab_sites.plugin.driver import BatchSystemDown, Job
from farlab_sites.plugin.slurm_usage import Accounting, gpus_of, parse, seconds, tres
from farlab_sites.plugin.used import measured, wanted
from farlab_sites.usage import ANNOTATION, Usage, UsageError

UID = "0f0e0d0c-0b0a-4908-8706-050403020100"
GIVEN = "billing=4,cpu=4,energy=9,gres/gpu:a100=2,gres/gpu=2,mem=1.50G,node=1"


def job(**more: str) -> str:
    """Return sacct's line of a job."""
    values = {
        "id": "7", "user": "ada", "state": "COMPLETED", "code": "0:0", "submit": "1000",
        "start": "1010", "end": "1110", "given": GIVEN, "cpu": "02:30.500", "rss": "",
        "energy": "", "name": UID,
    }  # fmt: skip
    return "|".join((values | more).values())


def step(name: str = "batch", **more: str) -> str:
    """Return sacct's line of a step."""
    values = {"id": f"7.{name}", "user": "", "rss": "2048K", "energy": "500", "name": name}
    return job(**(values | more))


def said(*lines: str) -> Usage:
    return parse("\n".join(lines), {"7": UID})[UID]


def test_a_job_and_its_steps_are_one_usage() -> None:
    assert said(job(), step(), step("extern", rss="1M", energy="400")) == Usage(
        job_id="7",
        account="ada",
        submitted=1000,
        started=1010,
        ended=1110,
        cores=4,
        gpus=2,
        gpu_type="a100",
        memory=3 << 29,
        cpu_s=150.5,
        peak_memory=2 << 20,
        energy_j=500,
        state="COMPLETED",
        exit_code=0,
        source="sacct",
        final=True,
    )


@pytest.mark.parametrize(
    "state",
    [
        "BOOT_FAIL", "CANCELLED by 1000", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT", "REVOKED", "CANCELLED",
    ],
)  # fmt: skip
def test_every_end_is_an_end(state: str) -> None:
    usage = said(job(state=state), step(state="CANCELLED"))
    assert (usage.state, usage.final) == (state, True)


@pytest.mark.parametrize("state", ["RUNNING", "PENDING", "REQUEUED", "SUSPENDED", "RESIZING"])
def test_what_goes_on_is_not_final(state: str) -> None:
    assert not said(job(state=state, end="Unknown"), step(state="RUNNING")).final


def test_a_step_may_come_later_than_its_job() -> None:
    assert not said(job()).final
    early = said(job(), step(state="RUNNING", rss="", energy=""))
    assert not early.final
    assert early.cpu_s is None


def test_a_job_that_never_started_was_given_nothing() -> None:
    usage = said(job(state="CANCELLED by 0", given="", start="1110", cpu="00:00:00"))
    assert (usage.started, usage.cores, usage.memory) == (None, 0, 0)
    assert usage.final


def test_another_job_of_the_same_number_is_none_of_ours() -> None:
    assert parse(job(name="another's"), {"7": UID}) == {}
    assert parse(job(id="8"), {"7": UID}) == {}
    assert parse("rubbish\n|||", {"7": UID}) == {}


def test_exit_codes_are_those_of_the_job() -> None:
    assert said(job(state="FAILED", code="3:0"), step()).exit_code == 3
    assert said(job(state="FAILED", code="0:9"), step()).exit_code == 137
    assert said(job(state="TIMEOUT", code="0:0"), step()).exit_code is None


@pytest.mark.parametrize(
    ("text", "value"),
    [("00:00.002", 0.002), ("02:30.500", 150.5), ("1-02:03:04", 93784.0), ("00:00:00", 0.0),
     ("", None), ("INVALID", None)],
)  # fmt: skip
def test_durations(text: str, value: float | None) -> None:
    assert seconds(text) == value


def test_gpus_without_a_type_and_with_several() -> None:
    assert gpus_of(tres("cpu=1,gres/gpu=3")) == (3.0, "")
    assert gpus_of(tres("gres/gpu:a100=1,gres/gpu:h100=2")) == (3.0, "h100")
    assert gpus_of(tres("cpu=1")) == (0.0, "")


class FakeCommands:
    """Answers as a Slurm without accounting does."""

    async def query(self, *argv: str, **_: Any) -> str:
        raise BatchSystemDown("Slurm accounting storage is disabled")


async def test_a_slurm_without_accounting_is_asked_once() -> None:
    accounting = Accounting(FakeCommands())  # type: ignore[arg-type]
    one = Job(UID, "pod", "ns", None, Path("/nowhere"), ("true",), job_id="7")
    assert await accounting.usages([one]) is None
    assert await accounting.usages([one]) is None


def test_a_usage_travels_as_json() -> None:
    usage = Usage("7", "ada", submitted=1.0, started=2.5, cores=0.5, exit_code=0, source="sacct")
    assert Usage.from_json(usage.to_json()) == usage
    assert "ended" not in usage.to_json()
    assert Usage.from_json({"job_id": "7", "news": [1]}) == Usage("7")


@pytest.mark.parametrize(
    "wrong",
    [
        None, [], {}, {"job_id": ""}, {"job_id": 7}, {"job_id": "7", "cores": -1},
        {"job_id": "7", "cores": "4"}, {"job_id": "7", "cores": True},
        {"job_id": "7", "ended": float("nan")}, {"job_id": "7", "started": float("inf")},
        {"job_id": "7", "memory": 1e300}, {"job_id": "7", "final": "yes"},
        {"job_id": "7", "exit_code": 1.5}, {"job_id": "7", "state": "x" * 300},
    ],
)  # fmt: skip
def test_a_usage_that_cannot_be_is_refused(wrong: object) -> None:
    with pytest.raises(UsageError):
        Usage.from_json(wrong)


def test_the_page_tells_prometheus_how_to_scrape(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/kubelet.md").read_text()
    [block] = [b for b in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if "scrape" in b]
    for name in ("client.crt", "client.key"):
        (tmp_path / name).touch()
    config = tmp_path / "prometheus.yml"
    config.write_text(block.replace("/etc/prometheus", str(tmp_path)))
    argv = ["promtool", "check", "config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_runners_file_may_hold_anything() -> None:
    assert measured({}) == {}
    assert measured({"usage": [1]}) == {}
    hostile = {"cpu_s": "9", "cores": float("nan"), "memory": -1, "peak_memory": 2.0, "at": True}
    assert measured({"usage": hostile}) == {"peak_memory": 2}


def test_who_wants_to_know_of_deleted_pods_says_so() -> None:
    assert wanted({"metadata": {"annotations": {ANNOTATION: "wanted"}}})
    for other in (None, {}, {"metadata": {"annotations": None}}, {"metadata": {"annotations": {}}}):
        assert not wanted(other)


def test_a_pod_of_an_ordinary_node_is_told_by_its_containers() -> None:
    times = {"startedAt": "2026-03-04T11:00:00Z", "finishedAt": "2026-03-04T11:00:10Z"}
    pod = {
        "metadata": {"name": "p", "uid": UID, "creationTimestamp": "2026-03-04T10:59:00Z"},
        "spec": {"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]},
        "status": {"phase": "Failed", "containerStatuses": [{"state": {"terminated": times}}]},
    }
    usage = usage_of(pod, is_virtual=False)
    assert usage is not None
    assert (usage.job_id, usage.cores, usage.memory) == (UID, 0.5, 1 << 30)
    assert (usage.ended or 0) - (usage.started or 0) == 10
    assert (usage.source, usage.final) == ("kubelet", True)
    assert usage_of(pod, is_virtual=True) is None
    pod["metadata"]["finalizers"] = ["farlab/kubelet"]
    waiting = usage_of(pod, is_virtual=True)
    assert waiting is not None
    assert not waiting.final
    pod["metadata"]["annotations"] = {ANNOTATION: '{"job_id": "9", "final": true}'}
    assert usage_of(pod, is_virtual=True) == Usage("9", final=True)


def test_a_kubelet_whose_metrics_nobody_reads_remembers_no_old_pods(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("farlab_sites.kubelet.metering.LINGER", -1.0)
    meters, made = Meters(None), {}  # type: ignore[arg-type]  # it writes nothing
    for number in range(3):
        meta = {"uid": f"u{number}", "name": f"p{number}", "namespace": "hub"}
        pod = trimmed({"metadata": {**meta, "resourceVersion": "1"}, "spec": {"containers": []}})
        meters.take(pod, {"live": {"cpu_s": 1.0}})
        made[pod.uid] = pod
    meters.forget({"u1": made["u1"]})
    assert [meter.pod.uid for meter in meters.all({"u1": made["u1"]})] == ["u1"]
    assert list(meters._meters) == ["u1"]
