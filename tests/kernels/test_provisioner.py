"""Kernels at sites through jupyter_client: the provisioner and the kernel specs."""

from __future__ import annotations

import asyncio
import json
import signal

import pytest
from farlab_kernels.provisioning import kernelspecs
from farlab_kernels.provisioning.kernelspecs_cli import main
from farlab_kernels.provisioning.provisioner import FarlabProvisioner
from farlab_real.fake_service import FakeService
from farlab_real.kernel_parts import PATIENCE, execute, until_printed
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpecManager
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


@pytest.mark.parametrize("service", [True], indirect=True)
async def test_while_it_is_waited_for_cells_say_why(service, manager, client):
    service.wait_for(lambda: len(service.live()) == 1, "the workload")
    id_ = client.execute("print('at last')")
    shown = await client.get_iopub_msg(timeout=PATIENCE)
    while "place 3 of 12" not in str(shown["content"]):
        shown = await client.get_iopub_msg(timeout=PATIENCE)
    assert shown["parent_header"]["msg_id"] == id_
    service.say("Waiting for resources: place 2 of 12")
    while shown["content"].get("data") != {
        "text/plain": "vega: Waiting for resources: place 2 of 12"
    }:
        shown = await client.get_iopub_msg(timeout=PATIENCE)
    assert shown["msg_type"] == "update_display_data"
    await until(lambda: manager.reason == "vega: Waiting for resources: place 2 of 12")
    service.release()
    await until_printed(client, "at last")
    await until(lambda: manager.reason == "")


async def until(condition):
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("service", [True], indirect=True)
async def test_shut_down_while_it_is_waited_for(service, manager):
    service.wait_for(lambda: len(service.live()) == 1, "the workload")
    assert await manager.is_alive()
    await manager.shutdown_kernel()
    assert service.live() == []


@pytest.mark.parametrize("service", [True], indirect=True)
async def test_a_job_that_fails_ends_cells_with_the_reason(service, manager, client):
    service.wait_for(lambda: len(service.live()) == 1, "the workload")
    client.execute("print('never')")
    (workload,) = service.live()
    service.end(workload, "failed", "the partition is closed")
    reply = await client.get_shell_msg(timeout=PATIENCE)
    while reply["msg_type"] != "execute_reply":
        reply = await client.get_shell_msg(timeout=PATIENCE)
    assert reply["content"]["ename"] == "DeadKernelError"
    assert "the partition is closed" in reply["content"]["evalue"]
    assert not await manager.is_alive()
    with pytest.raises(RuntimeError, match="the partition is closed"):
        await manager.restart_kernel(now=True)  # as jupyter_client does by itself
    await manager.restart_kernel()  # as a person does
    assert len(service.live()) == 1


async def test_a_killed_kernel_is_started_anew_in_its_job(service, manager, client):
    reply = (await execute(client, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")).reply
    assert "killed by signal 9" in reply["content"]["evalue"]
    assert not await manager.is_alive()
    await manager.restart_kernel(now=True)
    assert (await execute(client, "print('again')")).text == "again\n"
    assert len(service.workloads) == 1


async def test_another_process_goes_on_with_it(service, manager, client):
    id_ = client.execute("import time; x = 5; print('on', flush=True); time.sleep(2); print('off')")
    await until_printed(client, "on")
    info = await manager.provisioner.get_provisioner_info()
    json.dumps({**info, "connection_info": None})
    second = FarlabProvisioner(kernel_id=manager.kernel_id, kernel_spec=manager.kernel_spec)
    await second.load_provisioner_info(info)
    assert second.has_process
    other = AsyncKernelClient()
    other.load_connection_info(second.connection_info)
    other.start_channels()
    await until_printed(other, "off")
    await other.wait_for_ready(timeout=PATIENCE)
    assert (await execute(other, "print(x)")).text == "5\n"
    other.stop_channels()
    await second.send_signal(signal.SIGTERM)
    await second.cleanup()
    assert service.live() == []
    assert id_


async def test_a_server_that_was_killed_finds_its_kernel_again(service, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ada/train.ipynb")
    first = AsyncKernelManager(kernel_name="farlab-vega-cpu")
    await first.start_kernel()
    client = first.client()
    client.start_channels()
    await client.wait_for_ready(timeout=PATIENCE)
    await execute(client, "kept = 7")
    client.stop_channels()
    monkeypatch.setattr("farlab_kernels.provisioning.provisioner._jobs", {})  # another process
    second = AsyncKernelManager(kernel_name="farlab-vega-cpu")
    await second.start_kernel()
    client = second.client()
    client.start_channels()
    await client.wait_for_ready(timeout=PATIENCE)
    assert (await execute(client, "print(kept)")).text == "7\n"
    client.stop_channels()
    await second.shutdown_kernel(now=True)
    assert len(service.workloads) == 1
    assert service.live() == []


def test_specs_come_and_go(service, tmp_path):
    folder = tmp_path / "jupyter/kernels"
    (folder / "farlab-mine").mkdir()
    (folder / "farlab-mine/kernel.json").write_text('{"metadata": {}}')
    found = KernelSpecManager(data_dir=str(tmp_path / "jupyter")).get_all_specs()
    titles = {spec["spec"]["display_name"] for spec in found.values()}
    assert "Python 3 at Vega, gpu, 1 x A100, A GPU node" in titles
    assert not kernelspecs.write(kernelspecs.specs(service.sites), folder)
    assert kernelspecs.write({}, folder)
    assert [path.name for path in folder.iterdir()] == ["farlab-mine"]


async def test_the_service_is_not_there(service, tmp_path):
    service.stop()
    code = await asyncio.to_thread(main, ["install", "--folder", str(tmp_path)])
    assert code == 1
    manager = AsyncKernelManager(kernel_name="farlab-vega-cpu")
    with pytest.raises(ConnectionError, match="does not answer"):
        await manager.start_kernel()
    service.restart()
