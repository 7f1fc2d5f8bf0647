"""The Slurm driver on a real Slurm: submit, watch, cancel, and how jobs end."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from farlab_real.slurm import SlurmCluster
from farlab_real.slurm_jobs import (
    PYTHON,
    cancel_all,
    make_job,
    wait_for_file,
    wait_for_phase,
    wait_until,
)
from farlab_sites.plugin.driver import Job, SubmitError
from farlab_sites.plugin.slurm import SlurmDriver


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmCluster]:
    with SlurmCluster(nodes=2, gpus=4, cpu_nodes=2, kill_wait=2) as cluster:
        yield cluster


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="farlab-jobs-") as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.fixture
async def driver(slurm: SlurmCluster) -> AsyncIterator[SlurmDriver]:
    driver = SlurmDriver({"conf": str(slurm.conf), "query_every": 0.2})
    await driver.start()
    yield driver
    await driver.stop()


async def submitted(driver: SlurmDriver, job: Job) -> Job:
    job.folder.mkdir()
    return dataclasses.replace(job, job_id=await driver.submit(job))


async def test_a_job_runs_and_ends(driver: SlurmDriver, folder: Path) -> None:
    code = "import os; print(sorted(os.environ)); print(os.getcwd())"
    job = await submitted(driver, make_job(folder, code, memory=64 << 20, walltime=90))
    state = await wait_for_phase(driver, job, "Terminated")
    assert (state.reason, state.exit_code) == ("Completed", 0)
    assert state.node in {"c1", "c2"}
    assert state.started_at is not None
    assert state.finished_at is not None
    names, where = job.log.read_text().splitlines()
    assert where == str(job.folder)
    assert "'HOME'" in names
    assert "'SLURM_EXPORT_ENV'" not in names


async def test_a_job_gets_the_gpus_it_asked_for(driver: SlurmDriver, folder: Path) -> None:
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    by_limit = await submitted(driver, make_job(folder, code, gpus=2, flags=("-p", "gpu")))
    flags = ("--partition=gpu", "--gres=gpu:a100:3")
    by_flag = await submitted(driver, make_job(folder, code, gpus=1, flags=flags))
    for job, count in ((by_limit, 2), (by_flag, 3)):
        await wait_for_phase(driver, job, "Terminated")
        assert len(job.log.read_text().split(",")) == count


async def test_an_exit_code_is_told(driver: SlurmDriver, folder: Path) -> None:
    job = await submitted(driver, make_job(folder, "raise SystemExit(3)"))
    state = await wait_for_phase(driver, job, "Terminated")
    assert (state.reason, state.exit_code) == ("Error", 3)
    assert state.message == "The job ended with exit code 3 (FAILED)."


async def test_a_job_killed_for_memory_says_what_to_do(driver: SlurmDriver, folder: Path) -> None:
    job = await submitted(driver, make_job(folder, "import os; os.kill(os.getpid(), 9)"))
    state = await wait_for_phase(driver, job, "Terminated")
    assert (state.reason, state.exit_code) == ("Error", 137)
    assert "memory" in state.message


async def test_cancelling_ends_the_job_with_a_term_signal(
    driver: SlurmDriver, folder: Path
) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('told', flush=True), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    job = await submitted(driver, make_job(folder, code))
    await wait_for_file(job.log)
    await driver.cancel(job)
    state = await wait_for_phase(driver, job, "Terminated")
    assert state.reason == "Cancelled"
    assert "told" in job.log.read_text()
    await driver.cancel(job)  # again: no error


async def test_cancelling_works_before_the_number_is_known(
    driver: SlurmDriver, folder: Path
) -> None:
    job = await submitted(driver, make_job(folder, "import time; time.sleep(600)"))
    await driver.cancel(dataclasses.replace(job, job_id=""))
    state = await wait_for_phase(driver, job, "Terminated")
    assert state.reason == "Cancelled"


async def test_the_walltime_is_a_reason_of_its_own(
    slurm: SlurmCluster, driver: SlurmDriver, folder: Path
) -> None:
    job = await submitted(driver, make_job(folder, "import time; time.sleep(600)", walltime=60))
    await wait_for_phase(driver, job, "Running")
    slurm.run("scontrol", "update", f"JobId={job.job_id}", "EndTime=now")
    state = await wait_for_phase(driver, job, "Terminated")
    assert state.reason == "DeadlineExceeded"
    assert "time limit" in state.message


async def test_a_suspended_job_is_still_there(
    slurm: SlurmCluster, driver: SlurmDriver, folder: Path
) -> None:
    job = await submitted(driver, make_job(folder, "import time; time.sleep(600)"))
    await wait_for_phase(driver, job, "Running")
    slurm.run("scontrol", "suspend", job.job_id)
    state = await wait_until(driver, job, lambda state: state.reason == "Suspended")
    assert (state.phase, "suspended" in state.message) == ("Running", True)
    slurm.run("scontrol", "resume", job.job_id)
    await cancel_all(driver, [job])


async def test_waiting_jobs_know_their_place(driver: SlurmDriver, folder: Path) -> None:
    flags = ("--partition=quantum", "--gres=qpu:1")
    code = "import time; time.sleep(600)"
    jobs = [
        await submitted(driver, make_job(folder, code, flags=flags, walltime=3600))
        for _ in range(3)
    ]
    await wait_for_phase(driver, jobs[0], "Running")
    state = await wait_until(driver, jobs[2], lambda state: "Slurm expects" in state.message)
    assert (state.phase, state.place, state.waiting) == ("Waiting", 2, 2)
    assert state.message.endswith(" UTC.")
    assert ": place 2 of 2 in partition quantum" in state.message
    assert state.reason in {"Priority", "Resources"}
    await cancel_all(driver, jobs)


async def test_a_job_that_can_never_start_says_so(driver: SlurmDriver, folder: Path) -> None:
    job = await submitted(driver, make_job(folder, "", flags=("-N", "9")))
    state = await wait_until(driver, job, lambda state: "choose less" in state.message)
    assert state.phase == "Waiting"
    assert state.reason in state.message
    await cancel_all(driver, [job])


@pytest.mark.parametrize(
    ("flags", "own_words", "advice"),
    [
        (("-p", "nope"), "invalid partition specified: nope", "operator"),
        (("--gres=gpu:99", "-p", "gpu"), "node configuration is not available", "choose less"),
        (("--gres=unicorn:1",), "Invalid generic resource", "GPU"),
        (("--reservation=none",), "Requested reservation is invalid", "operator"),
        (("--time=soon",), "Invalid --time specification", "Choose another time"),
        (("--constraint=magic",), "Invalid feature specification", "operator"),
    ],
)
async def test_a_refusal_has_slurms_own_words_and_what_to_do(
    driver: SlurmDriver, folder: Path, flags: tuple[str, ...], own_words: str, advice: str
) -> None:
    job = make_job(folder, flags=flags)
    job.folder.mkdir()
    with pytest.raises(SubmitError) as refused:
        await driver.submit(job)
    assert own_words in str(refused.value)
    assert advice in str(refused.value)
    assert await driver.find(job.uid) is None


SHELL = [
    "$(touch owned)",
    "`touch owned`",
    "a b;touch owned",
    "'\"",
    "a\nb",
    "--uid=0",
    "%j%u",
    "\\",
]


async def test_shell_characters_stay_text_everywhere(driver: SlurmDriver, folder: Path) -> None:
    code = "import sys; print(repr(sys.argv[1]))"
    jobs = []
    for text in SHELL:
        odd = folder / text
        odd.mkdir()
        argv = (PYTHON, "-c", code, text)
        jobs.append(await submitted(driver, make_job(odd, name=text, namespace=text, argv=argv)))
    for text, job in zip(SHELL, jobs, strict=True):
        state = await wait_for_phase(driver, job, "Terminated")
        assert state.reason == "Completed"
        assert job.log.read_text() == f"{text!r}\n"
        with pytest.raises(SubmitError):
            await driver.submit(dataclasses.replace(job, flags=(f"--partition={text}",)))
    assert not list(folder.rglob("owned"))


async def test_find_knows_the_job_by_the_pods_uid(driver: SlurmDriver, folder: Path) -> None:
    job = await submitted(driver, make_job(folder))
    other = make_job(folder)
    assert await driver.find(job.uid) == job.job_id
    assert await driver.find(other.uid) is None


async def test_facts_say_what_is_free(driver: SlurmDriver) -> None:
    facts = await driver.facts()
    assert facts["status"] == "ok"
    named = {partition["name"]: partition for partition in facts["partitions"]}
    assert set(named) == {"cpu", "gpu", "quantum"}
    gpu = named["gpu"]
    assert (gpu["state"], gpu["nodes"], gpu["gpus"], gpu["waiting"]) == ("up", 2, 8, 0)
    assert {"resourceType": "nvidia.com/gpu", "available": 8} in facts["resources"]["accelerators"]
    assert {"resourceType": "farlab/qpu", "available": 1} in facts["resources"]["accelerators"]


async def test_a_full_partition_has_a_start_estimate(driver: SlurmDriver, folder: Path) -> None:
    flags = ("--partition=quantum", "--gres=qpu:1")
    job = await submitted(
        driver, make_job(folder, "import time; time.sleep(600)", flags=flags, walltime=3600)
    )
    await wait_for_phase(driver, job, "Running")
    fresh = SlurmDriver(driver.settings)
    facts = await fresh.facts()
    quantum = next(one for one in facts["partitions"] if one["name"] == "quantum")
    assert quantum["qpus_free"] == 0
    assert quantum["start_estimate"].endswith("+00:00")
    await cancel_all(driver, [job])
