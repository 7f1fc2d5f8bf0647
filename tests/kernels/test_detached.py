"""Detached cells whose kernel is still waited for, and attaching to them."""

from __future__ import annotations

import asyncio

import pytest
from farlab_real.fake_service import FakeService
from farlab_real.notebook_kernel import notebook


@pytest.fixture
def service(tmp_path):
    with FakeService(tmp_path, hold=True) as here:
        yield here


@pytest.fixture
async def page(service):
    async with notebook(**service.environment) as here:
        yield here


def texts(result, name="stdout"):
    found = [m["content"] for m in result.of("stream")]
    return "".join(content["text"] for content in found if content["name"] == name)


async def test_it_is_sent_as_soon_as_its_kernel_is_there(service, page):
    await page.run("x = [1]")
    begun = await page.run(
        "%%offload vega --name later --detach -i x -o y\ny = x * 2\nprint('done')"
    )
    assert begun.status == "ok"
    assert "%offload attach later" in texts(begun, "stderr")
    await asyncio.to_thread(service.wait_for, service.live, "the workload")
    await asyncio.to_thread(service.say, "Waiting for resources: place 2 of 12")
    status = texts(await page.run("%offload status"))
    assert "later  vega  queued  Waiting for resources: place 2 of 12" in status
    id_ = page.begin("%offload attach later")
    service.release()
    result = await page.end(id_)
    assert texts(result) == "done\n"
    assert texts(await page.run("print(y)")) == "[1, 1]\n"


async def test_what_went_wrong_is_told(service, page):
    await page.run("%%offload vega --name lost --detach\n1")
    await asyncio.to_thread(service.wait_for, service.live, "the workload")
    await asyncio.to_thread(service.end, service.live()[0], "failed", "the partition is closed")

    async def told():
        while "lost was not started" not in (shown := texts(await page.run("%offload status"))):
            await asyncio.sleep(0.1)
        return shown

    assert "the partition is closed" in await asyncio.wait_for(told(), 60)
    result = await page.run("%offload attach lost")
    assert "the partition is closed" in result.reply["content"]["evalue"]


async def test_a_start_can_be_given_up(service, page):
    await page.run("%%offload vega --name never --detach\n1")
    await asyncio.to_thread(service.wait_for, service.live, "the workload")
    await page.run("%offload stop never")
    await asyncio.to_thread(service.wait_for, lambda: not service.live(), "the workload's end")


async def test_an_interrupt_leaves_what_is_attached_to(service, page, tmp_path):
    service.release()
    go = tmp_path / "go"
    await page.run(
        "%%offload vega --name long --detach\n"
        "import pathlib, time\n"
        "print('begun', flush=True)\n"
        f"while not pathlib.Path('{go}').exists(): time.sleep(0.05)\n"
        "print('done')"
    )
    id_ = page.begin("%offload attach long")
    await page.until_printed("begun", id_)
    await page.manager.interrupt_kernel()
    left = await page.end(id_)
    assert left.status == "ok"
    assert "goes on" in texts(left, "stderr")
    go.touch()
    assert texts(await page.run("%offload attach long")) == "begun\ndone\n"
    await page.run("%offload stop long")
    assert service.live() == []


async def test_a_start_that_is_interrupted_leaves_no_job(service, page):
    id_ = page.begin("%%offload vega\n1")
    await asyncio.to_thread(service.wait_for, service.live, "the workload")
    await page.until(lambda: "place 3" in str(page.of(id_)), "the reason")
    await page.manager.interrupt_kernel()
    result = await page.end(id_)
    assert result.reply["content"]["ename"] == "KeyboardInterrupt"
    assert service.live() == []
