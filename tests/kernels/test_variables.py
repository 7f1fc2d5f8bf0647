"""Variables over data connections: what arrives, what is refused, what a cut leaves."""

from __future__ import annotations

import asyncio
import datetime
import decimal
import functools
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas
import pytest
import xarray
from farlab_kernels.keeper import memory
from farlab_kernels.variables import channel, codec
from farlab_kernels.variables.client import Data
from farlab_kernels.variables.errors import (
    CutError,
    MissingError,
    NoRoomError,
    TransferError,
    UnsendableError,
    VersionsError,
)
from farlab_kernels.variables.site import Site
from farlab_kernels.variables.versions import About, Pair, about

PATIENCE = 60.0
MB = 1_000_000


class FakeShell:
    """A namespace in this process."""

    def __init__(self) -> None:
        self.user_ns: dict[str, Any] = {}

    def push(self, variables: dict[str, Any]) -> None:
        self.user_ns.update(variables)


class FakePlace:
    """A site's end in threads of this process.

    `cuts`: bytes after which the next connections break. With `stall` they only stop, until that
    is set.
    """

    def __init__(self) -> None:
        self.stall: threading.Event | None = None
        self.shell = FakeShell()
        self.site = Site(self.shell)
        self.cuts: list[int] = []
        self.dialled = 0

    @property
    def names(self) -> dict[str, Any]:
        return self.shell.user_ns

    async def dial(self, kind: str, **hello: Any) -> Any:
        self.dialled += 1
        ours, theirs = socket.socketpair()
        if self.cuts:
            ours = self._fragile(ours, self.cuts.pop(0))
        serve = (theirs, {"kind": kind, **hello})
        threading.Thread(target=self.site.serve, args=serve, daemon=True).start()
        return *await asyncio.open_connection(sock=ours), {}

    def _fragile(self, far: socket.socket, left: int) -> socket.socket:
        """Return an end that leads to `far`, and breaks after that many bytes in one direction."""
        near, end = socket.socketpair()

        def pump(source: socket.socket, sink: socket.socket) -> None:
            remaining = left
            with suppress(OSError):
                while data := source.recv(min(1 << 16, remaining)):
                    sink.sendall(data)
                    remaining -= len(data)
                    if not remaining:
                        if self.stall is not None:
                            self.stall.wait(PATIENCE)
                        break
            for side in (far, end):
                with suppress(OSError):
                    side.shutdown(socket.SHUT_RDWR)

        for pair in ((far, end), (end, far)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
        return near


@pytest.fixture
def place() -> FakePlace:
    return FakePlace()


@pytest.fixture
async def data(place: FakePlace) -> AsyncIterator[Data]:
    link = Data(place.dial, "vega")
    yield link
    await link.close()


async def there_and_back(data: Data, value: Any) -> Any:
    await data.push({"value": value})
    return (await data.pull(["value"]))["value"]


@pytest.mark.parametrize(
    "value",
    [
        None, 1, "text", b"", {"a": [1, (2.5, {3})]}, datetime.date(2026, 1, 2),
        decimal.Decimal("1.5"), range(5), slice(1, 2), b"x" * (3 * MB), bytearray(b"y" * (2 * MB)),
        "long" * MB, list(range(100_000)), functools.partial(int, base=2), np.float64(1.5),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
async def test_values_come_back_as_they_were(data, value):
    back = await there_and_back(data, value)
    assert type(back) is type(value)
    assert back == value or back.func is value.func


async def test_arrays_arrive_writable_and_large_ones_apart_from_the_pickle(data, place):
    array = np.arange(MB, dtype=np.float64).reshape(1000, 1000)
    packed = codec.pack(array, "array", Pair(about("here"), about("vega")))
    assert sum(map(len, packed.pickle)) < 1000
    assert np.shares_memory(np.frombuffer(packed.buffers[0]), array)
    back = await there_and_back(data, array)
    assert np.array_equal(back, array)
    back[0, 0] = 5
    place.names["value"][0, 0] = 6
    assert array[0, 0] == 0


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(0), np.zeros((3, 0)), np.array(5), np.asfortranarray(np.ones((300, 300))),
        np.ones((400, 400))[::2, ::2], np.array(["a", "bc"]), np.array([None, {}], dtype=object),
        np.zeros(5000, dtype=[("x", "f8"), ("y", "i4")]), np.arange(10) > 3,
        np.array(["2026-01-01"], dtype="datetime64[D]"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)  # fmt: skip
async def test_arrays_of_every_kind(data, array):
    back = await there_and_back(data, array)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


async def test_thousands_of_arrays_in_one_message(data):
    arrays = [np.full(3000, number) for number in range(3000)]
    back = await there_and_back(data, arrays)
    assert all(np.array_equal(one, other) for one, other in zip(arrays, back, strict=True))


async def test_tables_of_pandas_and_xarray(data):
    table = pandas.DataFrame({"a": np.arange(50_000), "b": ["x"] * 50_000})
    table["t"] = pandas.Timestamp("2026-01-01")
    pandas.testing.assert_frame_equal(await there_and_back(data, table), table)
    grid = xarray.DataArray(np.ones((200, 300)), dims=("y", "x"), attrs={"units": "K"})
    assert (await there_and_back(data, grid)).identical(grid)


class FakeTensor:
    """As much of torch.Tensor as is needed to send one: this package does not test with torch."""

    __module__ = "torch"
    layout = "strided"
    is_quantized = False
    device = SimpleNamespace(type="cpu")

    def __init__(self, array: Any, requires_grad: bool = False) -> None:
        self.array, self.requires_grad = array, requires_grad
        self.dtype, self.shape = f"torch.{array.dtype}", array.shape

    def is_complex(self) -> bool:
        return False

    def detach(self) -> FakeTensor:
        return self

    cpu = contiguous = detach

    def numpy(self) -> Any:
        return self.array

    def view(self, dtype: str) -> FakeTensor:
        return FakeTensor(self.array.view(dtype))

    def reshape(self, *shape: Any) -> FakeTensor:
        return FakeTensor(self.array.reshape(*shape))

    def requires_grad_(self) -> FakeTensor:
        return FakeTensor(self.array, requires_grad=True)


@pytest.mark.parametrize("kind", ["float32", "bool", "int64"])
def test_tensors_travel_as_their_bytes(monkeypatch, kind):
    torch = SimpleNamespace(
        Tensor=FakeTensor, strided="strided", uint8="uint8", from_numpy=FakeTensor,
        float32="float32", bool="bool", int64="int64", __version__="2.0",
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "torch", torch)
    tensor = FakeTensor(np.arange(30_000).reshape(300, 100).astype(kind), requires_grad=True)
    pair = Pair(about("here"), about("there"))
    packed = codec.pack(tensor, "tensor", pair)
    assert [buffer.nbytes for buffer in packed.buffers] == [tensor.array.nbytes], "not copied"
    parts = [b"".join(packed.pickle), *packed.buffers]
    back = codec.unpack(parts, "tensor", "torch.Tensor", pair)
    assert (back.dtype, back.shape, back.requires_grad) == (f"torch.{kind}", (300, 100), True)
    assert np.array_equal(back.array, tensor.array)


async def test_functions_and_classes_of_a_notebook(data):
    code = "class Point:\n    x = 1\ndef f(y):\n    return Point().x + y"
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec(code, notebook)
    back = await there_and_back(data, [notebook["f"], notebook["Point"]])
    assert back[0](2) == 3
    assert back[1].x == 1


async def test_several_are_set_together_or_not_at_all(data, place):
    place.names["a"] = "before"
    with pytest.raises(VersionsError, match=r"b .* no module a_module_that_is_not_there"):
        await data.push({"a": "after", "b": FromNowhere()})
    assert place.names == {"a": "before"}
    await data.push({"a": "after", "c": 1})
    assert place.names == {"a": "after", "c": 1}


class FromNowhere:
    """Pickles as something of a module that does not exist."""

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _Named("a_module_that_is_not_there"), ()


class _Named:
    """Pickles as a function of that module."""

    __qualname__ = "function"

    def __init__(self, module: str) -> None:
        self.__module__ = module

    def __call__(self) -> None: ...

    def __reduce__(self) -> str | tuple[Any, ...]:
        return __import__, (self.__module__,)


async def test_what_cannot_be_pickled_is_named_with_its_type(data, place):
    with pytest.raises(UnsendableError, match=r"^lock \(_thread\.lock\) can't be sent: TypeError"):
        await data.push({"fine": 1, "lock": threading.Lock()})
    assert place.names == {}
    place.names["items"] = (item for item in ())
    with pytest.raises(UnsendableError, match=r"^items \(generator\) can't be sent"):
        await data.pull(["items"])
    await data.push({"fine": 1})
    assert place.dialled == 1, "an error leaves the connection as good as it was"


async def test_a_value_whose_own_code_fails_on_arrival(data, place):
    with pytest.raises(UnsendableError, match=r"value .* can't be read at vega: ZeroDivisionError"):
        await data.push({"value": Divides()})
    assert place.names == {}


class Divides:
    def __reduce__(self) -> str | tuple[Any, ...]:
        return divmod, (1, 0)


async def test_names_that_are_not_there(data, place):
    place.names.update(model=1, _model=2)
    with pytest.raises(MissingError, match=r"modle is not defined at vega; did you mean model\?"):
        await data.pull(["model", "modle"])
    with pytest.raises(MissingError, match=r"a and b are not defined at vega$"):
        await data.delete(["a", "model", "b"])
    assert "model" in place.names
    await data.delete(["model"])
    assert "model" not in place.names


def test_a_package_that_the_other_end_lacks_is_said_before_anything_is_sent():
    here = about("here")
    pair = Pair(here, About("vega", here.python, {"cloudpickle": "3.1"}))
    with pytest.raises(VersionsError, match=r"array \(numpy\.ndarray\).*numpy [\d.]+ here and no"):
        codec.pack(np.ones(3), "array", pair)


async def test_progress_tells_the_bytes(data):
    seen: list[tuple[int, int]] = []
    array = np.zeros(40 * MB, dtype=np.uint8)
    await data.push({"array": array}, lambda *at: seen.append(at))
    await asyncio.sleep(0)
    assert seen[-1][0] == seen[-1][1] >= array.nbytes
    assert len(seen) > 3
    seen.clear()
    await data.pull(["array"], lambda *at: seen.append(at))
    await asyncio.sleep(0)
    assert seen[-1][0] == seen[-1][1] >= array.nbytes


@pytest.mark.parametrize("cut", [0, 10, 100, 300, 5 * MB])
async def test_a_transfer_that_is_cut_is_done_once_more(data, place, cut):
    place.cuts = [max(cut, 1)]
    array = np.arange(MB)
    assert np.array_equal(await there_and_back(data, array), array)
    assert place.dialled == 2


async def test_a_second_cut_is_an_error_and_nothing_is_set(data, place):
    place.names["array"] = "before"
    place.cuts = [5 * MB, 5 * MB]
    with pytest.raises(CutError, match="the connection"):
        await data.push({"array": np.arange(MB), "other": 1})
    assert place.names == {"array": "before"}
    place.names["array"] = np.arange(MB)
    place.cuts = [5 * MB, 5 * MB]
    with pytest.raises(CutError):
        await data.pull(["array"])
    await data.push({"array": 2})
    assert place.names == {"array": 2}


async def test_connections_that_broke_while_idle_do_not_count(data, place):
    await data.push({"a": 1})
    place.site.forget()
    await data.push({"a": 2})
    assert place.names == {"a": 2}


async def test_a_cancelled_transfer_sets_nothing(data, place):
    begun = asyncio.Event()
    place.cuts, place.stall = [20 * MB], threading.Event()
    array = np.zeros(50 * MB, dtype=np.uint8)
    pushing = asyncio.create_task(data.push({"array": array}, lambda *_: begun.set()))
    await asyncio.wait_for(begun.wait(), PATIENCE)
    pushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await pushing
    place.stall.set()
    assert place.names == {}
    await data.push({"a": 1})
    assert place.names == {"a": 1}


async def test_transfers_do_not_wait_for_each_other(data, place):
    place.names["slow"] = Slow()
    pulling = asyncio.create_task(data.pull(["slow"]))
    await asyncio.to_thread(Slow.begun.wait, PATIENCE)
    await data.push({"a": 1})
    Slow.go.set()
    assert (await pulling)["slow"] == 0


class Slow:
    """Is pickled when it may."""

    begun, go = threading.Event(), threading.Event()

    def __reduce__(self) -> str | tuple[Any, ...]:
        self.begun.set()
        self.go.wait(PATIENCE)
        return int, ()


async def test_no_room_there_is_known_before_it_is_sent(data, place, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda: 5 << 20)
    monkeypatch.setattr(channel, "OFFERED", 1000)
    with pytest.raises(NoRoomError, match=r"^no room at vega for array: 8 MiB are needed"):
        await data.push({"array": np.zeros(MB)})
    assert place.names == {}
    monkeypatch.undo()
    await data.push({"array": np.zeros(MB)})
    assert place.dialled == 1
    monkeypatch.setattr(memory, "free", lambda: 5 << 20)
    with pytest.raises(NoRoomError, match="8 MiB are needed"):
        await data.pull(["array"])


def test_free_memory_is_the_least_of_the_machine_and_the_job(monkeypatch, tmp_path):
    assert 0 < memory.free() < 1 << 50
    groups = {
        "memory.max": "3000000",
        "memory.current": "2500000",
        "memory.stat": "anon 5\ninactive_file 700000\n",
    }
    monkeypatch.setattr(memory, "_read", lambda name, _: groups[name])
    assert memory.free() == 1_200_000


async def test_what_speaks_another_language_is_left(data, place):
    async def dial(kind: str, **hello: Any) -> Any:
        ours, theirs = socket.socketpair()
        theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        return *await asyncio.open_connection(sock=ours), {}

    other = Data(dial, "vega")
    with pytest.raises(TransferError, match="no kernel of this version of Farlab"):
        await other.push({"a": 1})
    await other.close()


async def test_a_large_array_takes_little_more_memory_than_itself(data, place):
    def used() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    array = np.ones(200 * MB, dtype=np.uint8)
    before, most = used(), 0

    def look(*_: int) -> None:
        nonlocal most
        most = max(most, used())

    await data.push({"array": array}, look)
    await asyncio.sleep(0)
    assert most - before < 250 * MB
