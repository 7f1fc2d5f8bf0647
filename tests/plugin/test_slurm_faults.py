"""The Slurm driver when Slurm is slow, stopped, gone, or forgets; and when nodes fail."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from farlab_real.slurm import SlurmCluster
from farlab_real.slurm_jobs import (
    PYTHON,
    WAIT,
    cancel_all,
    make_job,
    wait_for_file,
    wait_for_phase,
    wait_until,
)
from farlab_sites.plugin import slurm_queue
from farlab_sites.plugin.driver import BatchSystemDown, Job
from farlab_sites.plugin.slurm import SlurmDriver
from farlab_sites.plugin.slurm_settings import SlurmSettings

SLEEP = "import time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def slurm() -> Iterator[SlurmCluster]:
    """A Slurm for one test: what is done to it here can take it minutes to get over."""
    with SlurmCluster(nodes=1, gpus=1, cpu_nodes=2, quantum_nodes=1, kill_wait=2) as cluster:
        yield cluster


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farlab-jobs-") as name:
        yield Path(name)


@pytest.fixture
async def driver(slurm: SlurmCluster) -> AsyncIterator[SlurmDriver]:
    driver = SlurmDriver({"conf": str(slurm.conf), "query_every": 0.2})
    yield driver
    await driver.stop()


@pytest.fixture
async def hasty(slurm: SlurmCluster) -> AsyncIterator[SlurmDriver]:
    """Return a driver that soon gives up, for a Slurm that is not going to answer."""
    driver = SlurmDriver({"conf": str(slurm.conf), "query_every": 0.2, "time_limit": 1})
    yield driver
    await driver.stop()


async def submitted(driver: SlurmDriver, job: Job) -> Job:
    """Submit as the plugin does: again while Slurm is not back yet."""
    job.folder.mkdir(exist_ok=True)
    deadline = time.monotonic() + WAIT
    while True:
        try:
            number = await driver.find(job.uid) or await driver.submit(job)
        except BatchSystemDown:
            assert time.monotonic() < deadline
        else:
            return dataclasses.replace(job, job_id=number)


async def test_a_submission_that_was_given_up_is_found_later(
    slurm: SlurmCluster, driver: SlurmDriver, hasty: SlurmDriver, folder: Path
) -> None:
    code = "import time; open('ran', 'a').write('x'); time.sleep(600)"
    job = make_job(folder, code)
    job.folder.mkdir()
    slurm.freeze()
    submission = asyncio.create_task(driver.submit(job))
    await _request_lies_there(slurm)
    submission.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submission
    with pytest.raises(BatchSystemDown):
        await hasty.find(job.uid)
    slurm.thaw()
    deadline = time.monotonic() + WAIT
    while (number := await _find(driver, job)) is None:
        assert time.monotonic() < deadline, "the late submission never arrived"
    job = dataclasses.replace(job, job_id=number)
    await wait_for_file(job.folder / "ran")
    assert (job.folder / "ran").read_text() == "x"
    await cancel_all(driver, [job])


async def test_a_submission_that_slurm_does_not_answer_is_given_up(
    slurm: SlurmCluster, hasty: SlurmDriver, folder: Path
) -> None:
    slurm.freeze()
    with pytest.raises(BatchSystemDown, match="did not end within 1 s"):
        await hasty.submit(make_job(folder))


async def _request_lies_there(slurm: SlurmCluster) -> None:
    """Wait until a connection to slurmctld holds bytes that it has not read."""
    [port] = re.findall(r"^SlurmctldPort=(\d+)", slurm.conf.read_text(), re.MULTILINE)
    local = f"0100007F:{int(port):04X}"
    deadline = time.monotonic() + WAIT
    while True:
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines())
        if any(one[1] == local and int(one[4].split(":")[1], 16) > 100 for one in lines):
            return
        assert time.monotonic() < deadline, "no request was sent"
        await asyncio.sleep(0.05)


async def _find(driver: SlurmDriver, job: Job) -> str | None:
    try:
        return await driver.find(job.uid)
    except BatchSystemDown:
        return None


async def test_a_submission_while_slurm_is_gone_says_so(
    slurm: SlurmCluster, driver: SlurmDriver, hasty: SlurmDriver, folder: Path
) -> None:
    job = make_job(folder, SLEEP)
    job.folder.mkdir()
    slurm.kill()
    with pytest.raises(BatchSystemDown, match="does not answer"):
        await hasty.submit(job)
    slurm.restart()
    job = await submitted(driver, job)
    await wait_for_phase(driver, job, "Running")
    await cancel_all(driver, [job])


async def test_a_pod_submitted_twice_runs_once(driver: SlurmDriver, folder: Path) -> None:
    code = "import time; open('ran', 'a').write('x'); time.sleep(600)"
    job = await submitted(driver, make_job(folder, code))
    twice = dataclasses.replace(job, job_id=await driver.submit(job))
    assert twice.job_id != job.job_id
    await wait_for_file(job.folder / "ran")
    state = await wait_until(driver, twice, lambda state: state.phase == "Running")
    assert state.phase == "Running"
    await driver.cancel(twice)
    await wait_for_phase(driver, twice, "Terminated")
    assert (job.folder / "ran").read_text() == "x"


async def test_a_second_job_that_waits_is_cancelled(
    slurm: SlurmCluster, driver: SlurmDriver, folder: Path
) -> None:
    flags = ("--partition=quantum", "--gres=qpu:1")
    job = await submitted(driver, make_job(folder, SLEEP, flags=flags))
    await wait_for_phase(driver, job, "Running")
    second = await driver.submit(job)
    deadline = time.monotonic() + WAIT
    while "PENDING" in slurm.run("squeue", "-h", "-t", "all", "-j", second, "-o", "%T"):
        assert time.monotonic() < deadline, "the spare job still waits"
        await driver.states([job])
        await asyncio.sleep(0.05)
    assert (await wait_for_phase(driver, job, "Running")).node == "q1"
    await cancel_all(driver, [job])


@pytest.mark.parametrize("way", ["frozen", "killed"])
async def test_running_jobs_never_look_ended_while_slurm_is_away(
    way: str,
    slurm: SlurmCluster,
    driver: SlurmDriver,
    hasty: SlurmDriver,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = await submitted(driver, make_job(folder, SLEEP))
    await wait_for_phase(driver, job, "Running")
    await _saved(slurm)
    _ = slurm.freeze() if way == "frozen" else slurm.kill()
    monkeypatch.setattr(slurm_queue, "PATIENCE", 0.3)
    states = await driver.states([job])  # what was known a moment ago
    assert states[job.uid].phase == "Running"
    with pytest.raises(BatchSystemDown):  # nothing is known: nothing is said
        await driver.states([make_job(folder)])
    monkeypatch.setattr(slurm_queue, "TOO_OLD", 0.0)
    with pytest.raises(BatchSystemDown):
        await driver.states([job])
    with pytest.raises(BatchSystemDown):
        await hasty.facts()
    with pytest.raises(BatchSystemDown):
        await hasty.cancel(job)
    monkeypatch.undo()
    _ = slurm.thaw() if way == "frozen" else slurm.restart()
    await wait_for_phase(driver, job, "Running")
    await _cancelled(driver, job)
    assert (await wait_for_phase(driver, job, "Terminated")).reason == "Cancelled"


async def _saved(slurm: SlurmCluster) -> None:
    """Wait until slurmctld has saved its jobs: killed before, it forgets the newest."""
    file = slurm.folder / "state" / "job_state"
    began, deadline = time.time(), time.monotonic() + WAIT
    slurm.run("sbatch", "--hold", "--output=/dev/null", "--wrap=true")
    while not file.exists() or file.stat().st_mtime < began:
        assert time.monotonic() < deadline, "slurmctld never saved its jobs"
        await asyncio.sleep(0.05)


async def _cancelled(driver: SlurmDriver, job: Job) -> None:
    """Cancel as the plugin does: again while Slurm is not back yet."""
    deadline = time.monotonic() + WAIT
    while True:
        try:
            return await driver.cancel(job)
        except BatchSystemDown:
            assert time.monotonic() < deadline


async def test_waiting_callers_fail_together_when_slurm_stops(
    slurm: SlurmCluster, hasty: SlurmDriver, folder: Path
) -> None:
    jobs = [make_job(folder, SLEEP) for _ in range(20)]
    slurm.freeze()
    results = await asyncio.gather(*(hasty.submit(job) for job in jobs), return_exceptions=True)
    assert all(isinstance(result, BatchSystemDown) for result in results)
    assert hasty.commands.counts["sbatch"] <= 8  # the others did not even try


async def test_a_new_job_is_there_at_once_however_seldom_slurm_is_asked(
    slurm: SlurmCluster, folder: Path
) -> None:
    settings = SlurmSettings(conf=slurm.conf).model_copy(update={"query_every": 600})
    seldom = SlurmDriver(settings)
    first = await submitted(seldom, make_job(folder, SLEEP))
    job = make_job(folder, SLEEP)
    job.folder.mkdir()
    job = dataclasses.replace(job, job_id=await seldom.submit(job))
    state = (await seldom.states([first, job]))[job.uid]
    assert (state.phase, state.reason) == ("Waiting", "")
    await seldom.cancel(job)
    assert seldom.commands.counts["squeue"] == 1
    await seldom.stop()


async def test_a_job_that_slurm_forgot_is_ended_without_a_reason(
    driver: SlurmDriver, folder: Path
) -> None:
    job = make_job(folder, job_id="4000000")
    for _ in range(2):
        state = (await driver.states([job]))[job.uid]
        assert (state.phase, state.reason) == ("Terminated", "")
        assert "does not know the job any more" in state.message
    assert driver.commands.counts["sacct"] == 1  # this Slurm keeps no accounting


async def test_a_new_driver_finds_what_an_earlier_one_submitted(
    slurm: SlurmCluster, driver: SlurmDriver, folder: Path
) -> None:
    job = await submitted(driver, make_job(folder, SLEEP))
    await driver.stop()
    later = SlurmDriver(driver.settings)
    assert await later.find(job.uid) == job.job_id
    await wait_for_phase(later, dataclasses.replace(job, job_id=""), "Running")
    await cancel_all(later, [job])
    await later.stop()


async def test_find_waits_for_a_submission_that_is_still_under_way(
    driver: SlurmDriver, folder: Path
) -> None:
    job = make_job(folder)
    argv = [PYTHON, "-c", SLEEP, f"--job-name={job.uid}"]
    left_over = await asyncio.create_subprocess_exec(
        *argv, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        assert left_over.stdout is not None
        await left_over.stdout.readline()
        with pytest.raises(BatchSystemDown, match="still under way"):
            await driver.find(job.uid)
    finally:
        left_over.kill()
        await left_over.wait()


async def test_a_failed_node_is_the_reason(
    slurm: SlurmCluster, driver: SlurmDriver, folder: Path
) -> None:
    job = await submitted(driver, make_job(folder, SLEEP, flags=("--partition=gpu",)))
    await wait_for_phase(driver, job, "Running")
    slurm.kill("slurmd g1")
    slurm.run("scontrol", "update", "NodeName=g1", "State=DOWN", "Reason=test")
    state = await wait_for_phase(driver, job, "Terminated")
    assert (state.reason, state.node) == ("NodeFailure", "g1")
    assert "node failed" in state.message
    facts = await SlurmDriver(driver.settings).facts()
    gpu = next(one for one in facts["partitions"] if one["name"] == "gpu")
    assert (gpu["state"], gpu["nodes"], gpu["nodes_down"]) == ("down", 0, 1)


async def test_slurm_is_asked_as_often_for_many_pods_as_for_one(
    driver: SlurmDriver, folder: Path
) -> None:
    job = await submitted(driver, make_job(folder, SLEEP))
    began, before = time.monotonic(), driver.commands.counts["squeue"]
    for _ in range(10):
        await asyncio.gather(*(driver.states([job]) for _ in range(30)))
        await asyncio.sleep(0.05)
    looks = driver.commands.counts["squeue"] - before
    assert looks <= (time.monotonic() - began) / driver.settings.query_every + 2
    await cancel_all(driver, [job])
