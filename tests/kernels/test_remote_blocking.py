"""A kernel at a site for code that does not await: scripts, and cells of a notebook."""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from farlab_kernels.blocking import BlockingKernel
from farlab_kernels.loops import LoopThread
from farlab_kernels.remote import RemoteKernel
from farlab_real.kernel_parts import KEY, Keeper, keeper, linked

PATIENCE = 60.0


class Place:
    """A keeper and its kernel, in the loop of a thread."""

    def __init__(self) -> None:
        self.thread = LoopThread()
        self._stack = AsyncExitStack()
        self.keeper, self.kernel = self.thread.run(self._start())

    async def _start(self) -> tuple[Keeper, BlockingKernel]:
        place = await self._stack.enter_async_context(keeper())
        link = await self._stack.enter_async_context(linked(place))
        kernel = await self._stack.enter_async_context(RemoteKernel(link, "vega"))
        return place, BlockingKernel(kernel, self.thread)

    def close(self) -> None:
        self.thread.run(self._stack.aclose())
        self.thread.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    here = Place()
    yield here
    here.close()


@pytest.fixture
def kernel(place: Place) -> BlockingKernel:
    return place.kernel


def test_output_and_questions_come_in_the_thread_that_waits(kernel):
    threads = set()
    texts = []

    def show(message: dict[str, Any]) -> None:
        threads.add(threading.get_ident())
        texts.append(message["content"]["text"])

    def answer(prompt: str, password: bool) -> str:
        threads.add(threading.get_ident())
        return prompt.upper()

    code = "print(1)\nprint(input('me'))"
    assert kernel.execute(code, on_output=show, on_input=answer)["status"] == "ok"
    assert threads == {threading.get_ident()}
    assert "".join(texts).split() == ["1", "ME"]


def test_everything_is_there_without_await(kernel, tmp_path):
    seen: list[tuple[int, int]] = []
    kernel.push({"a": 1}, b=b"x" * 20_000_000, progress=lambda *at: seen.append(at))
    assert seen[-1][0] == seen[-1][1] > 20_000_000
    assert kernel.pull("a", "b")[0] == 1
    kernel.delete("a")
    file = tmp_path / "file"
    file.write_text("text")
    kernel.put_file(file, str(tmp_path / "there"))
    assert kernel.get_file(str(tmp_path / "there"), tmp_path / "back").read_text() == "text"
    assert kernel.call(divmod, 7, 2) == (3, 1)
    assert kernel.map(abs, [-1, -2]) == [1, 2]
    future = kernel.submit(abs, -3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result(PATIENCE) == 3
    with pytest.raises(ZeroDivisionError):
        kernel.execute("1 / 0")


class CtrlC:
    """Presses Ctrl-C once for each of these texts; output may come in any pieces."""

    def __init__(self, *texts: str) -> None:
        self._texts = list(texts)
        self._seen = ""

    def __call__(self, message: dict[str, Any]) -> None:
        self._seen += message["content"].get("text", "")
        if self._texts and self._texts[0] in self._seen:
            self._texts.pop(0)
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_interrupts_the_cell_there(kernel):
    code = "import time\ntry:\n    print('on', flush=True); time.sleep(600)\nfinally:\n    over = 1"
    with pytest.raises(KeyboardInterrupt):
        kernel.execute(code, on_output=CtrlC("on"))
    assert kernel.pull("over") == 1


def test_a_second_ctrl_c_ends_the_wait_for_a_stubborn_cell(kernel):
    code = (
        "import time\n"
        "go = False\n"
        "try:\n    print('one', flush=True); time.sleep(600)\n"
        "except KeyboardInterrupt:\n    print('two', flush=True)\n"
        "while not go:\n"
        "    try:\n        time.sleep(0.01)\n"
        "    except KeyboardInterrupt:\n        pass\n"
    )
    try:
        with pytest.raises(KeyboardInterrupt):
            kernel.execute(code, on_output=CtrlC("one", "two"))
    finally:
        kernel.push(go=True)
    assert kernel.call(abs, -1) == 1


def test_an_error_in_a_callback_is_raised(kernel):
    def fail(_: Any) -> None:
        raise RuntimeError("no screen")

    with pytest.raises(RuntimeError, match="no screen"):
        kernel.execute("print(1)", on_output=fail)


def test_it_does_not_wait_for_itself(kernel, place):
    async def wait() -> None:
        with pytest.raises(RuntimeError, match="would wait for itself"):
            kernel.pull("x")

    place.thread.run(wait())


def test_a_cell_of_a_notebook_uses_it(place):
    """The notebook's kernel is one more kernel, whose own event loop runs all the time."""
    notebook = Place()
    cell = f"""
import asyncio
from farlab_kernels.blocking import BlockingKernel
from farlab_kernels.link.link import KernelLink
from farlab_kernels.loops import shared_loop
from farlab_kernels.remote import RemoteKernel

async def connect():
    link = KernelLink(lambda _: asyncio.open_connection("127.0.0.1", {place.keeper.port}), {KEY!r})
    await link.start()
    kernel = RemoteKernel(link, "vega")
    await kernel.start()
    return BlockingKernel(kernel)

asyncio.get_running_loop()
kernel = shared_loop().run(connect())
def show(message): print("there:", message["content"]["text"], end="")
"""
    texts: list[str] = []
    try:
        notebook.kernel.execute(cell)
        notebook.kernel.execute(
            "kernel.execute('print(6 * 7)', on_output=show)\n"
            "print(kernel.call(lambda x: x + 1, 41))",
            on_output=lambda message: texts.append(message["content"]["text"]),
        )
    finally:
        notebook.close()
    assert "".join(texts) == "there: 42\n42\n"
