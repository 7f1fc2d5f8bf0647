"""Detached cells whose kernel is still waited for, attaching to them, and to what has ended."""

from __future__ import annotations

import asyncio
import os
import signal

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


def words(result):
    return result.reply["content"]["evalue"]


async def kill(page):
    """Let a notebook's kernel be gone at once."""
    os.kill(int(texts(await page.run("import os; print(os.getpid())"))), signal.SIGKILL)


async def test_it_needs_no_notebook_although_its_job_has_not_started(service, tmp_path):
    (tmp_path / "notes.txt").write_text("from here")
    async with notebook(**service.environment) as page:
        await page.run("class Point:\n    x = 20\ndef double(y):\n    return 2 * y\np = Point()")
        begun = await page.run(
            "%%offload vega --name night --detach -i p double -o answer"
            f" --put {tmp_path}/notes.txt\n"
            "answer = double(p.x) + 2\nprint(open('notes.txt').read())\nprint(answer)\nanswer"
        )
        assert begun.status == "ok"
        assert "night goes on by itself; `%offload attach night`" in texts(begun, "stderr")
        assert len(service.live()) == 1
        await kill(page)
    service.release()
    async with notebook(**service.environment) as page:
        result = await page.run("%offload attach night")
        assert texts(result) == "from here\n42\n"
        assert result.of("execute_result")
        assert texts(await page.run("print(answer)")) == "42\n"


async def test_a_cell_for_a_kernel_that_waits_already_is_sent_when_that_is_there(service, page):
    await page.run("%%offload vega --name later --detach\nprint('first')")
    await page.run("x = [1]")
    begun = await page.run(
        "%%offload vega --name later --detach -i x -o y\ny = x * 2\nprint('done')"
    )
    assert begun.status == "ok"
    assert "keep this notebook's kernel until then" in texts(begun, "stderr")
    await asyncio.to_thread(service.say, "Waiting for resources: place 2 of 12")
    status = texts(await page.run("%offload status"))
    assert "later  vega  queued  Waiting for resources: place 2 of 12" in status
    assert "later: its cell waits in this notebook's kernel" in status
    id_ = page.begin("%offload attach later")
    service.release()
    assert texts(await page.end(id_)) == "done\n"
    assert texts(await page.run("print(y)")) == "[1, 1]\n"


async def test_what_is_too_large_to_go_with_the_request_is_refused(service, page):
    await page.run("big = 'x' * 3_000_000")
    refused = await page.run("%%offload vega --name large --detach -i big\n1")
    assert "3.0 MB" in words(refused)
    assert "big" in words(refused)
    assert "%offload use vega --name large" in words(refused)
    assert service.live() == []


async def test_what_cannot_be_read_there_ends_the_cell(service, page):
    # The parcel of a notebook with another Python.
    await page.run(
        "from farlab_kernels.variables import parcel, versions\n"
        "parcel.about = lambda _: versions.About('here', '3.9.1', {'cloudpickle': '3.1'})\n"
        "f = lambda x: x"
    )
    await page.run("%%offload vega --name odd --detach -i f\nprint('never')")
    service.release()
    result = await page.run("%offload attach odd")
    assert "the cell did not run: f can't be read at vega" in words(result)
    assert "Python 3.9.1 here and Python 3." in words(result)
    assert texts(await page.run("%%offload vega --name odd\nprint('alive')")) == "alive\n"


async def test_how_a_kernel_ended_is_told(service, page):
    await page.run("%%offload vega --name lost --detach\n1")
    await asyncio.to_thread(service.end, service.live()[0], "failed", "the partition is closed")
    status = texts(await page.run("%offload status"))
    assert "lost has ended at vega" in status
    assert "the partition is closed" in status
    result = await page.run("%offload attach lost")
    assert "lost has ended at vega" in words(result)
    assert "the partition is closed" in words(result)
    nothing = await page.run("%offload attach nobody")
    assert "nothing called nobody runs" in words(nothing)


async def test_the_end_of_the_output_of_an_ended_kernel_is_in_its_log(service, page):
    service.release()
    await page.run(
        "%%offload vega --name gone --detach\n"
        "for step in range(100): print('step', step)\n"
        "print('last words', flush=True)\n"
        "import os, signal, time\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(100)"
    )
    await asyncio.to_thread(service.wait_for, lambda: not service.live(), "the job's end")
    result = await page.run("%offload attach gone")
    assert "gone has ended at vega" in words(result)
    assert "`%offload logs gone` shows that" in words(result)
    logs = await page.run("%offload logs gone")
    assert "gone has ended at vega" in texts(logs, "stderr")
    assert "step 99\nlast words" in texts(logs)
    assert "step 50\n" not in texts(logs)


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
    (error,) = result.of("error")
    assert error["content"]["ename"] == "KeyboardInterrupt"
    shown = "KeyboardInterrupt: you stopped waiting for the site."
    assert error["content"]["traceback"] == [shown]
    assert service.live() == []
