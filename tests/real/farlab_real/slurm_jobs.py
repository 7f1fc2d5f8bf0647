"""Jobs for a driver's tests: a folder, a small program, and waiting for what happens to it."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from farlab_sites.plugin.driver import BatchSystemDown, Driver, Job, JobState

WAIT = 120.0  # seconds; long, for a slow machine
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable


def make_job(folder: Path, code: str = "", **more: Any) -> Job:
    """Return a job whose folder is not made yet and which runs `code` with Python."""
    uid = str(uuid.uuid4())
    values: dict[str, Any] = {
        "uid": uid,
        "name": "pod",
        "namespace": "farlab",
        "account": None,
        "folder": folder / uid,
        "argv": (PYTHON, "-c", code),
    }
    return Job(**{**values, **more})


async def wait_until(
    driver: Driver, job: Job, wanted: Callable[[JobState], bool], wait: float = WAIT
) -> JobState:
    """Return the job's state once it is as wanted; fail with the last one otherwise."""
    deadline = time.monotonic() + wait
    state = None
    while time.monotonic() < deadline:
        try:
            state = (await driver.states([job])).get(job.uid)
        except BatchSystemDown:
            state = None
        if state is not None and wanted(state):
            return state
        await asyncio.sleep(0.1)
    raise AssertionError(f"job {job.job_id} did not get there in {wait:.0f} s; last: {state}")


async def wait_for_phase(driver: Driver, job: Job, phase: str) -> JobState:
    """Return the job's state once it is in the phase."""
    return await wait_until(driver, job, lambda state: state.phase == phase)


async def wait_for_file(path: Path, wait: float = WAIT) -> str:
    """Return a file's text once it is there and holds something."""
    deadline = time.monotonic() + wait
    while time.monotonic() < deadline:
        if path.exists() and (text := path.read_text()):
            return text
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {path} within {wait:.0f} s")


async def cancel_all(driver: Driver, jobs: Iterable[Job]) -> None:
    """End the jobs and wait for their end."""
    for job in jobs:
        await driver.cancel(job)
    for job in jobs:
        await wait_for_phase(driver, job, "Terminated")
