"""A real kernel behind a real keeper as a Python object: code, variables, files, calls, maps."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from farlab_kernels.mapping import map_on
from farlab_kernels.remote import RemoteKernel
from farlab_kernels.remote_errors import (
    DeadKernelError,
    InterruptedCellError,
    RemoteError,
    UnfinishedMapError,
)
from farlab_kernels.variables.errors import (
    MissingError,
    RemoteFileError,
    UnsendableError,
)
from farlab_real.kernel_parts import keeper, linked

pytestmark = pytest.mark.asyncio(loop_scope="module")
PATIENCE = 60.0
MB = 1_000_000


class Printed:
    """What a kernel's calls have printed; `seen` waits for a text."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self._came = asyncio.Event()

    def __call__(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self._came.set()

    @property
    def text(self) -> str:
        return "".join(m["content"].get("text", "") for m in self.messages)

    @property
    def kinds(self) -> list[str]:
        return [message["msg_type"] for message in self.messages]

    async def seen(self, text: str) -> None:
        async with asyncio.timeout(PATIENCE):
            while text not in self.text:
                self._came.clear()
                await self._came.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[RemoteKernel]:
    """One kernel for all tests that leave it as it was."""
    async with keeper() as place, linked(place) as link, RemoteKernel(link, "vega") as kernel:
        yield kernel


@pytest_asyncio.fixture(loop_scope="module")
async def kernel(shared: RemoteKernel) -> AsyncIterator[RemoteKernel]:
    """The shared kernel; what calls print is in `kernel.printed`."""
    shared.printed = Printed()  # type: ignore[attr-defined]
    shared.caller._on_output = shared.printed  # type: ignore[attr-defined]
    yield shared


@pytest_asyncio.fixture(loop_scope="module")
async def own() -> AsyncIterator[RemoteKernel]:
    """A kernel of the test's own."""
    async with keeper() as place, linked(place) as link, RemoteKernel(link, "vega") as kernel:
        yield kernel


# Code


async def test_a_cell_gives_its_output_in_order_and_its_reply(kernel):
    printed = Printed()
    content = await kernel.execute(
        "print('one')\ndisplay('two')\nprint('three')\n4", on_output=printed
    )
    assert content["status"] == "ok"
    assert printed.kinds == ["stream", "display_data", "stream", "execute_result"]
    assert printed.text == "one\nthree\n"


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("1 / 0", ZeroDivisionError, "division by zero"),
        ("{}['a']", KeyError, "'a'"),
        ("import json; json.loads('{')", ValueError, "property name"),
        ("raise OSError(2, 'no such thing')", FileNotFoundError, "no such thing"),
        ("import subprocess; subprocess.check_call(['false'])", Exception, "exit status 1"),
        ("def f(:", SyntaxError, "invalid"),
    ],
)
async def test_a_cell_raises_what_it_raised(kernel, code, kind, words):
    with pytest.raises(kind, match=words) as raised:
        await kernel.execute(code)
    cause = raised.value.__cause__
    assert isinstance(cause, RemoteError)
    assert cause.place == "vega"
    assert cause.traceback
    assert type(raised.value).__name__ == cause.ename


async def test_an_exception_of_a_type_unknown_here_is_a_remote_error(kernel):
    with pytest.raises(RemoteError, match="Odd at vega: strange") as raised:
        await kernel.execute("class Odd(Exception): pass\nraise Odd('strange')")
    assert raised.value.ename == "Odd"
    assert raised.value.evalue == "strange"
    assert raised.value.traceback


async def test_an_exception_without_its_own_words_or_pickle(kernel):
    code = "raise UnicodeDecodeError('utf-8', b'x', 0, 1, 'bad')"
    with pytest.raises(UnicodeDecodeError, match="bad") as raised:
        await kernel.execute(code)
    assert raised.value.reason == "bad"
    code = "import threading\nerror = ValueError('locked', threading.Lock())\nraise error"
    with pytest.raises(ValueError, match="locked"):
        await kernel.execute(code)


async def test_input_is_answered_here(kernel):
    asked = []

    def answer(prompt: str, password: bool) -> str:
        asked.append((prompt, password))
        return "Ada"

    async def answer_later(prompt: str, password: bool) -> str:
        await asyncio.sleep(0)
        return answer(prompt, password)

    await kernel.execute("name = input('who? ')", on_input=answer)
    await kernel.execute("import getpass; secret = getpass.getpass('p: ')", on_input=answer_later)
    assert asked == [("who? ", False), ("p: ", True)]
    assert await kernel.pull("name", "secret") == ("Ada", "Ada")
    with pytest.raises(Exception, match="does not support input"):
        await kernel.execute("input()")


async def test_cells_at_once_run_in_order_and_an_error_stops_those_behind(kernel):
    codes = ["rows = [1]", "rows.append(2)", "1 / 0", "rows.append(3)"]
    cells = [kernel.begin(code) for code in codes]
    ends = await asyncio.gather(*map(kernel.finish, cells), return_exceptions=True)
    assert isinstance(ends[2], ZeroDivisionError)
    assert isinstance(ends[3], RemoteError)
    assert await kernel.pull("rows") == [1, 2]


async def test_a_cell_sent_right_behind_a_failure_runs(kernel):
    for _ in range(20):
        with pytest.raises(ZeroDivisionError):
            await kernel.execute("1 / 0")
        await kernel.finish(kernel.begin("pass"))
        assert (await kernel.begin("1 / 0").end())["status"] == "error"
        await kernel.execute("pass")


async def test_a_cancelled_cell_is_interrupted_there(kernel):
    printed = Printed()
    code = "import time\ntry:\n    print('on', flush=True); time.sleep(600)\nfinally:\n    over = 1"
    running = asyncio.create_task(kernel.execute(code, on_output=printed))
    await printed.seen("on")
    waiting = asyncio.create_task(kernel.execute("print('never')", on_output=printed))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    with pytest.raises(RemoteError, match="a cell before it failed"):
        await waiting
    assert await kernel.pull("over") == 1
    assert "never" not in printed.text


async def test_an_interrupt_is_an_error_of_its_own(kernel):
    printed = Printed()
    code = "import time\nprint('on', flush=True)\ntime.sleep(600)"
    running = asyncio.create_task(kernel.execute(code, on_output=printed))
    await printed.seen("on")
    await kernel.interrupt()
    with pytest.raises(InterruptedCellError):
        await running


async def test_a_callback_that_fails_ends_the_wait(kernel):
    def fail(_: Any) -> None:
        raise RuntimeError("no screen")

    with pytest.raises(RuntimeError, match="no screen"):
        await kernel.execute("print(1)", on_output=fail)
    await kernel.execute("pass")


# Variables


async def test_variables_go_there_and_back_and_away(kernel):
    array = np.arange(MB)
    await kernel.push({"progress": 1}, array=array, name="x")
    await kernel.execute("assert array.flags.writeable; array *= 2; total = int(array.sum())")
    back, total, progress = await kernel.pull("array", "total", "progress")
    assert np.array_equal(back, 2 * array)
    assert (total, progress) == (2 * int(array.sum()), 1)
    await kernel.delete("array", "total")
    with pytest.raises(MissingError, match="array is not defined at vega"):
        await kernel.pull("array")
    with pytest.raises(NameError):
        await kernel.execute("array")


async def test_variables_and_output_pass_a_cell_that_runs(kernel):
    printed = Printed()
    code = "import time\ngo = False\nwhile not go:\n    print('on', flush=True); time.sleep(0.01)\n"
    running = asyncio.create_task(kernel.execute(code, on_output=printed))
    await printed.seen("on")
    array = np.ones(30 * MB, dtype=np.uint8)
    await kernel.push(array=array)
    assert np.array_equal(await kernel.pull("array"), array)
    assert not running.done()
    await kernel.push(go=True)
    await asyncio.wait_for(running, PATIENCE)


async def test_a_function_pushed_there_is_called_by_a_cell(kernel):
    factor = 3

    def times(x: int) -> int:
        return factor * x

    await kernel.push(times=times)
    await kernel.execute("y = times(5)")
    assert await kernel.pull("y") == 15


# Files


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_files_go_there_and_back(kernel, tmp_path):
    source = tmp_path / "data.bin"
    source.write_bytes(os.urandom(9 * MB))
    source.chmod(0o750)
    there = tmp_path / "there"
    there.mkdir()
    await kernel.execute(f"import os; before = os.getcwd(); os.chdir({str(there)!r})")
    seen: list[tuple[int, int]] = []
    await kernel.put_file(source, progress=lambda *at: seen.append(at))
    assert (there / "data.bin").read_bytes() == source.read_bytes()
    assert (there / "data.bin").stat().st_mode & 0o777 == 0o750
    assert seen[-1] == (9 * MB, 9 * MB)
    here = tmp_path / "here"
    here.mkdir()
    assert await kernel.get_file("data.bin", here) == here / "data.bin"
    assert (here / "data.bin").read_bytes() == source.read_bytes()
    empty = tmp_path / "empty"
    empty.touch()
    await kernel.put_file(empty, "other.txt")
    assert (there / "other.txt").read_bytes() == b""
    assert names_in(there) == ["data.bin", "other.txt"]
    await kernel.execute("os.chdir(before)")


async def test_files_that_cannot_be(kernel, tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("text")
    with pytest.raises(RemoteFileError, match=r"can't read .*none here: No such file"):
        await kernel.put_file(tmp_path / "none")
    with pytest.raises(RemoteFileError, match="is a folder: pack it"):
        await kernel.put_file(tmp_path)
    with pytest.raises(RemoteFileError, match="there is no folder /no/where at vega"):
        await kernel.put_file(file, "/no/where/a.txt")
    with pytest.raises(RemoteFileError, match=r"is a folder: name the file in it"):
        await kernel.put_file(file, str(tmp_path))
    with pytest.raises(RemoteFileError, match=r"can't read /no/a\.txt at vega: No such file"):
        await kernel.get_file("/no/a.txt", tmp_path)
    with pytest.raises(RemoteFileError, match=r"can't write /no/a\.txt here"):
        await kernel.get_file(str(file), "/no/a.txt")
    assert names_in(tmp_path) == ["a.txt"]
    await kernel.put_file(file, str(tmp_path / "b.txt"))


# Calls


def divide(a: float, b: float = 1) -> float:
    print(f"{a} / {b}")
    return a / b


divide.__module__ = "__main__"  # as a notebook's functions are


async def test_a_call_returns_prints_and_raises(kernel):
    assert await kernel.call(divide, 6, b=3) == 2
    assert kernel.printed.text == "6 / 3\n"
    with pytest.raises(ZeroDivisionError) as raised:
        await kernel.call(divide, 1, 0)
    cause = raised.value.__cause__
    assert isinstance(cause, RemoteError)
    assert "return a / b" in "\n".join(cause.traceback) or "in divide" in "\n".join(cause.traceback)
    assert "farlab_kernels" not in "\n".join(cause.traceback)
    big = await kernel.call(np.ones, 2 * MB)
    assert big.sum() == 2 * MB


async def test_a_call_finds_what_is_defined_there(kernel):
    await kernel.execute("def model(x): return -x")
    assert await kernel.call(eval("lambda x: model(x)", {"__name__": "__main__"}), 4) == -4


async def test_what_cannot_be_sent_or_returned_is_named(kernel):
    with pytest.raises(UnsendableError, match=r"the call of len .* can't be sent: TypeError"):
        await kernel.call(len, (item for item in ()))
    with pytest.raises(UnsendableError, match=r"the result \(generator\) can't be sent"):
        await kernel.call(eval("lambda: (i for i in ())", {"__name__": "__main__"}))


async def test_a_call_that_ends_in_odd_ways(kernel):
    with pytest.raises(RemoteError, match="SystemExit at vega: 3"):
        await kernel.call(eval, "(_ for _ in ()).throw(SystemExit(3))")
    with pytest.raises(InterruptedCellError):
        await kernel.call(eval, "(_ for _ in ()).throw(KeyboardInterrupt())")
    assert await kernel.call(abs, -1) == 1


async def test_submitted_calls_run_in_order_and_are_cancelled_one_by_one(kernel):
    def slow(name: str) -> str:
        print(name, flush=True)
        time.sleep(600)
        return name

    slow.__module__ = "__main__"
    first = kernel.submit(slow, "first")
    second = kernel.submit(slow, "second")
    third = kernel.submit(slow, "third")
    fourth = kernel.submit(abs, -4)
    await kernel.printed.seen("first")
    second.cancel()
    third.cancel()
    first.cancel()
    assert await asyncio.wait_for(fourth, PATIENCE) == 4
    for one in (first, second, third):
        with pytest.raises(asyncio.CancelledError):
            await one
    assert kernel.printed.text == "first\n"


async def test_a_map_keeps_the_order_and_numbers_its_errors(kernel):
    assert await kernel.map(divide, range(100), chunksize=7) == list(range(100))
    assert await kernel.map(pow, [2, 3], [3, 2, 9]) == [8, 9]
    assert await kernel.map(abs, []) == []
    with pytest.raises(ZeroDivisionError) as raised:
        await kernel.map(divide, range(100), [*range(1, 51), 0, *range(51, 100)], chunksize=8)
    assert raised.value.__notes__ == ["raised at vega by item 50 of the map"]
    assert raised.value.__cause__.index == 50


async def test_two_kernels_share_a_map(kernel, own, tmp_path):
    def meet(item: int) -> tuple[int, int]:
        """Return when both kernels are at it."""
        (tmp_path / str(os.getpid())).touch()
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.01)
        return item, os.getpid()

    meet.__module__ = "__main__"
    mapping = map_on([kernel.caller, own.caller], meet, range(20), chunksize=1)
    results = await asyncio.wait_for(mapping, PATIENCE)
    assert [item for item, _ in results] == list(range(20))
    assert len({process for _, process in results}) == 2


async def test_the_items_of_a_kernel_that_dies_are_done_by_another(kernel, own, tmp_path):
    victim = await own.call(os.getpid)

    def work(item: int) -> int:
        """End the kernel that the test has chosen, as soon as it is given anything."""
        if os.getpid() == victim:
            os.kill(victim, signal.SIGKILL)
        (tmp_path / str(item)).touch()
        return -item

    work.__module__ = "__main__"
    told = []
    callers = [kernel.caller, own.caller]
    mapping = map_on(callers, work, range(40), chunksize=2, warn=told.append)
    assert await asyncio.wait_for(mapping, PATIENCE) == [-item for item in range(40)]
    (warning,) = told
    assert warning.startswith("worker 2 at vega is lost (the kernel was killed by signal 9")
    assert warning.endswith("its items are done by the others, some perhaps again")


async def test_what_a_map_has_done_is_kept_when_its_last_kernel_dies(own, monkeypatch):
    pid = await own.call(os.getpid)
    run, came = own.caller.run, []

    async def run_and_kill(*chunk: Any) -> Any:
        came.append(await run(*chunk))
        if len(came) == 3:
            os.kill(pid, signal.SIGKILL)
        return came[-1]

    def work(item: int) -> int:
        if item == 7:
            time.sleep(600)
        return -item

    work.__module__ = "__main__"
    monkeypatch.setattr(own.caller, "run", run_and_kill)
    with pytest.raises(
        UnfinishedMapError, match=r"only worker .*; 6 of 20 items are done"
    ) as error:
        await asyncio.wait_for(own.map(work, range(20), chunksize=2), PATIENCE)
    assert error.value.results == {item: -item for item in range(6)}


async def test_items_that_every_kernel_dies_with_are_named():
    class FakeCaller:
        """A kernel that dies with item 3."""

        place = "vega"

        def __init__(self) -> None:
            self.data = self

        async def ask(self, *_: Any, **__: Any) -> None: ...

        def forget(self, _: str) -> None: ...

        async def run(self, payload: dict[str, Any], _: str, __: int) -> list[int]:
            await asyncio.sleep(0)
            (items,) = payload.values()
            if (3,) in items:
                raise DeadKernelError("DeadKernelError", "it is gone", place="vega")
            return [item for (item,) in items]

    told: list[str] = []
    callers: Any = [FakeCaller() for _ in range(5)]
    with pytest.raises(UnfinishedMapError, match="3 workers were lost with items 2 to 3"):
        await map_on(callers, abs, range(10), chunksize=2, warn=told.append)
    assert len(told) == 2


# Ends


async def test_a_kernel_that_dies_ends_everything_with_the_reason(own):
    pid = await own.call(os.getpid)
    printed = Printed()
    code = "import time; print('on', flush=True); time.sleep(600)"
    cell = asyncio.create_task(own.execute(code, on_output=printed))
    await printed.seen("on")
    call = own.submit(abs, -1)
    chunk = asyncio.create_task(own.map(abs, range(10)))
    os.kill(pid, signal.SIGKILL)
    for waiting in (cell, call, chunk, own.push(x=1), own.pull("x"), own.execute("1")):
        with pytest.raises(DeadKernelError, match=r"signal 9 \(SIGKILL\)"):
            await asyncio.wait_for(waiting, PATIENCE)
    await own.link.restart()
    assert await own.call(abs, -1) == 1


async def test_a_restarted_kernel_takes_variables_and_calls_again(own):
    await own.push(x=1)
    await own.link.restart()
    with pytest.raises(MissingError):
        await own.pull("x")
    await own.push(x=2)
    assert await own.call(eval("lambda: x", {"__name__": "__main__"})) == 2
