"""The direct carrier and the real plugin with its local driver: one pod's whole life."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from farlab_sites.carriers import CarrierRejected, CarrierUnreachable, DirectCarrier, PodStatus
from farlab_sites.manifest import seal

Json = dict[str, Any]
PATIENCE = 60
"""Seconds that a slow machine may take."""


@pytest.fixture
async def carrier() -> AsyncIterator[DirectCarrier]:
    """A carrier to a plugin of its own, on a socket."""
    with tempfile.TemporaryDirectory(prefix="farlab-") as folder:  # short: it holds a socket
        config, socket = Path(folder, "plugin.yaml"), Path(folder, "plugin.sock")
        config.write_text(
            f"listen: unix://{socket}\nfolder: {folder}/jobs\n"
            f"driver: {{local: {{cpus: 2}}}}\npython: {sys.executable}\n"
        )
        command = [sys.executable, "-c", "from farlab_sites.cli import main; main()"]
        plugin = subprocess.Popen([*command, "plugin", "--config", str(config)])
        try:
            async with DirectCarrier(f"unix://{socket}") as carrier:
                await asyncio.wait_for(_answers(carrier), PATIENCE)
                yield carrier
        finally:
            plugin.terminate()
            plugin.wait(PATIENCE)


async def _answers(carrier: DirectCarrier) -> None:
    """Wait until the plugin answers."""
    while True:
        try:
            await carrier.ping()
        except CarrierUnreachable:
            await asyncio.sleep(0.05)
        else:
            return


async def _ended(carrier: DirectCarrier, pod: Json) -> PodStatus:
    """Wait until the pod has ended, and return its state."""
    while True:
        status = (await carrier.status([pod]))[pod["metadata"]["uid"]]
        if status.phase in ("Succeeded", "Failed"):
            return status
        await asyncio.sleep(0.05)


def _pod(script: str) -> Json:
    token = {"name": "FARLAB_SECRET", "value": "s3cret-of-the-agent"}
    return {
        "metadata": {"name": "server", "namespace": "hub", "uid": str(uuid.uuid4())},
        "spec": {
            "activeDeadlineSeconds": 300,
            "containers": [
                {
                    "name": "notebook",
                    "image": "/usr",
                    "args": ["sh", "-c", script],
                    "env": [token],
                    "resources": {"limits": {"cpu": 1.0, "memory": 2**30}},
                }
            ],
        },
    }


async def test_a_pod_is_created_once_followed_read_and_deleted(carrier: DirectCarrier) -> None:
    pod, secrets = seal(_pod('printf "%s\\n" one "$FARLAB_SECRET"; exit 3'))
    job = await carrier.create(pod, secrets)
    assert await carrier.create(pod, secrets) == job
    ended = await asyncio.wait_for(_ended(carrier, pod), PATIENCE)
    assert (ended.phase, ended.exit_code, ended.job_id) == ("Failed", 3, job)
    assert ended.finished_at is not None
    assert await carrier.logs(pod, container="notebook") == "one\ns3cret-of-the-agent\n"
    assert await carrier.logs(pod, container="notebook", tail=1) == "s3cret-of-the-agent\n"
    await carrier.delete(pod)
    [gone] = (await carrier.status([pod])).values()
    assert (gone.phase, gone.exit_code) == ("Failed", 3)
    assert gone.usage is not None
    assert (gone.usage.job_id, gone.usage.exit_code, gone.usage.final) == (job, 3, True)
    await carrier.delete(pod)


async def test_a_secret_that_was_not_sent_is_a_refusal(carrier: DirectCarrier) -> None:
    pod, _ = seal(_pod("true"))
    with pytest.raises(CarrierRejected, match="server-env"):
        await carrier.create(pod)
