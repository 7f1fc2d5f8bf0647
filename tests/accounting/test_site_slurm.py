"""What real jobs used, told by the plugin, against what the real Slurm's accounting says."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from farlab_real.plugin_pods import Client, Json, eventually, make_pod, plugin_folder, running
from farlab_real.slurm import SlurmCluster
from farlab_sites.carriers import DirectCarrier
from farlab_sites.plugin import used
from farlab_sites.usage import Usage

FLAGS = "slurm-job.vk.io/flags"
GPUS = "--partition=gpu --gres=gpu:a100:2 --time=5"
BURN = "python3 -c 'x = bytearray(b\"1\") * 64000000\nfor _ in range(12000000): pass'"


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    """A Slurm with a slurmdbd."""
    shape = {"nodes": 1, "gpus": 2, "cpu_nodes": 2, "quantum_nodes": 0, "kill_wait": 2}
    with SlurmCluster(**shape, accounting=True) as cluster:
        yield cluster


@pytest.fixture
def home() -> Iterator[Path]:
    with plugin_folder() as folder:
        yield folder


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for the accounting however slow this machine is."""
    monkeypatch.setattr(used, "LATE", 600.0)


@contextlib.asynccontextmanager
async def on(slurm: SlurmCluster, home: Path) -> AsyncIterator[Client]:
    """Run the plugin in front of this Slurm."""
    driver = {"slurm": {"conf": str(slurm.conf), "query_every": 0.3}}
    async with running(home, driver=driver) as client:
        yield client


def pod_of(script: str, *, cpu: str = "1", memory: str = "256Mi", flags: str = "") -> Json:
    limits = {"cpu": cpu, "memory": memory}
    notes = {FLAGS: flags} if flags else {}
    return make_pod(script, annotations=notes, resources={"limits": limits})


async def final_usage(plugin: Client, pod: Json) -> Usage:
    """Return a pod's usage once it is final, whether the pod was deleted or not."""
    found: list[Usage] = []
    asked = {**pod, "metadata": {**pod["metadata"], "annotations": {"farlab/usage": "wanted"}}}

    async def there() -> bool:
        said = [Usage.from_json(one["usage"]) for one in await plugin.status(asked)]
        found[:] = [usage for usage in said if usage.final]
        return bool(found)

    await eventually(there, "a final usage")
    return found[0]


def sacct(slurm: SlurmCluster, job_id: str) -> dict[str, str]:
    """Return sacct's own row of a job."""
    fields = "JobIDRaw,State,Submit,Start,End,ElapsedRaw,AllocCPUS,AllocTRES,TotalCPU,CPUTimeRAW"
    done = subprocess.run(
        ["sacct", "-nPX", f"--jobs={job_id}", f"--format={fields}"],
        env=slurm.env | {"SLURM_TIME_FORMAT": "%s", "TZ": "America/New_York"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    [line] = done.stdout.splitlines()
    return dict(zip(fields.split(","), line.split("|"), strict=True))


def agree(usage: Usage, row: dict[str, str]) -> None:
    """Compare a usage with sacct, to the second."""
    assert usage.source == "sacct"
    assert usage.job_id == row["JobIDRaw"]
    assert usage.state == row["State"]
    assert usage.account == "root"
    assert usage.submitted == float(row["Submit"])
    assert usage.ended == float(row["End"])
    if usage.started is None:
        assert row["AllocTRES"] == ""
        assert row["ElapsedRaw"] == "0"
        return
    assert usage.started == float(row["Start"])
    assert usage.ended - usage.started == float(row["ElapsedRaw"])
    assert usage.cores == float(row["AllocCPUS"])
    assert usage.cores * (usage.ended - usage.started) == float(row["CPUTimeRAW"])


async def test_each_end_is_told_as_sacct_tells_it(slurm: SlurmCluster, home: Path) -> None:
    pods = {
        "well": pod_of(BURN, cpu="2"),
        "badly": pod_of("exit 3"),
        "late": pod_of("sleep 600"),
        "gpu": pod_of("sleep 600", flags=GPUS),
        "never": pod_of("true", flags=GPUS),  # both GPUs are taken
    }
    async with on(slurm, home) as plugin:
        ids = {name: await plugin.create(pod) for name, pod in pods.items()}
        await plugin.wait_for(pods["gpu"], "running")
        await plugin.wait_for(pods["late"], "running")
        slurm.run("scancel", ids["never"])
        slurm.run("scancel", ids["gpu"])
        slurm.run("scancel", "--signal=KILL", "--full", ids["late"])
        usages = {name: await final_usage(plugin, pod) for name, pod in pods.items()}
    for name, usage in usages.items():
        agree(usage, sacct(slurm, ids[name]))
    assert usages["well"].state == "COMPLETED"
    assert usages["well"].exit_code == 0
    assert usages["well"].memory == 256 << 20
    assert (usages["well"].cpu_s or 0) > 0.1
    assert (usages["well"].peak_memory or 0) > 60_000_000
    assert usages["badly"].state == "FAILED"
    assert usages["badly"].exit_code == 3
    assert usages["gpu"].state == "CANCELLED by 0"
    assert (usages["gpu"].gpus, usages["gpu"].gpu_type) == (2.0, "a100")
    assert usages["never"].started is None
    assert usages["never"].state == "CANCELLED by 0"


async def test_a_deleted_pod_is_asked_for_what_it_used(slurm: SlurmCluster, home: Path) -> None:
    pod = pod_of("sleep 600")
    async with on(slurm, home) as plugin:
        job_id = await plugin.create(pod)
        await plugin.wait_for(pod, "running")
        assert await plugin.delete(pod) == "deleted"
        assert await plugin.status(pod) == []
        usage = await final_usage(plugin, pod)
        async with DirectCarrier(f"unix://{home}/plugin.sock") as carrier:
            [told] = (await carrier.status([pod])).values()
    assert told.usage == usage
    assert told.phase == "Failed"
    agree(usage, sacct(slurm, job_id))
    assert usage.state == "CANCELLED by 0"
    assert usage.started is not None


async def test_a_slurmdbd_that_is_away_is_waited_for(slurm: SlurmCluster, home: Path) -> None:
    pod = pod_of("exit 4")
    async with on(slurm, home) as plugin:
        slurm.kill("slurmdbd")
        try:
            job_id = await plugin.create(pod)
            await plugin.wait_for(pod, "terminated")
            [answer] = await plugin.status(pod)
            early = Usage.from_json(answer["usage"])
        finally:
            slurm.restart("slurmdbd")
        usage = await final_usage(plugin, pod)
    assert not early.final
    assert early.source == "runner"
    assert early.exit_code == 4
    agree(usage, await asyncio.to_thread(sacct, slurm, job_id))
