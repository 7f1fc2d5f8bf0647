"""Kernels at sites through jupyter_client: the provisioner and the kernel specs."""

from __future__ import annotations

import pytest
from farlab_kernels.provisioning.kernelspecs_cli import main
from farlab_real.fake_service import FakeService
from farlab_real.kernel_parts import PATIENCE, execute, until_printed
from jupyter_client.manager import AsyncKernelManager


@pytest.fixture
def service(tmp_path, monkeypatch, request):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    with FakeService(tmp_path / "jobs", hold=getattr(request, "param", False)) as here:
        for name, value in here.environment.items():
            monkeypatch.setenv(name, value)
        main(["install"])
        yield here


@pytest.fixture
async def manager(service):
    here = AsyncKernelManager(kernel_name="farlab-vega-gpu-gpu-1-x-a100")
    await here.start_kernel()
    yield here
    if here.has_kernel:
        await here.shutdown_kernel(now=True)


@pytest.fixture
async def client(manager):
    here = manager.client()
    here.start_channels()
    await here.wait_for_ready(timeout=PATIENCE)
    yield here
    here.stop_channels()


async def test_it_runs_is_interrupted_restarts_and_stops(service, manager, client):
    assert (await execute(client, "print('there')")).text == "there\n"
    id_ = client.execute("import time; kept = 1; print('on', flush=True); time.sleep(600)")
    await until_printed(client, "on")
    await manager.interrupt_kernel()
    reply = await client.get_shell_msg(timeout=PATIENCE)
    assert reply["parent_header"]["msg_id"] == id_
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    await manager.restart_kernel()
    await client.wait_for_ready(timeout=PATIENCE)
    assert (await execute(client, "print('kept' in dir())")).text == "False\n"
    assert len(service.workloads) == 1
    other = manager.client()  # the sockets are there for new clients too
    other.start_channels()
    await other.wait_for_ready(timeout=PATIENCE)
    assert (await execute(other, "print(1)")).text == "1\n"
    other.stop_channels()
    await manager.shutdown_kernel()
    assert service.live() == []
    assert not await manager.is_alive()
