"""Variables between ends with different versions of Python and of packages."""

from __future__ import annotations

import asyncio
import linecache
import os
import pickletools
import shutil
import socket
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from farlab_kernels.variables import codec
from farlab_kernels.variables.client import Data
from farlab_kernels.variables.errors import UnsendableError, VersionsError
from farlab_kernels.variables.versions import PACKAGES, About, Pair, about

HERE = about("here")
NEWER = About("vega", "3.99.1", HERE.packages)
SKEWED = Pair(HERE, NEWER)


def notebook(code: str) -> dict[str, Any]:
    """Run a cell whose source text is known, as IPython does."""
    names: dict[str, Any] = {"__name__": "__main__"}
    file = f"<cell {hash(code)}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    exec(compile(code, file, "exec"), names)
    return names


def travel(value: Any, pair: Pair = SKEWED) -> Any:
    packed = codec.pack(value, "value", pair)
    parts = [b"".join(packed.pickle), *packed.buffers]
    return codec.unpack(parts, "value", codec.kind_of(value), pair)


def names_pickled(value: Any) -> set[str]:
    packed = codec.pack(value, "value", SKEWED)
    steps = pickletools.genops(b"".join(packed.pickle))
    return {str(argument) for step, argument, _ in steps if "UNICODE" in step.name}


def test_what_both_ends_run():
    assert HERE.python.startswith(f"{sys.version_info.major}.{sys.version_info.minor}.")
    assert HERE.packages["numpy"] == np.__version__
    assert set(HERE.packages) <= set(PACKAGES)
    assert About.from_wire(HERE.to_wire()) == HERE
    assert Pair(HERE, HERE).code_travels
    assert not SKEWED.code_travels
    bare = About("vega", HERE.python, {})
    assert not Pair(HERE, bare).code_travels
    assert "no cloudpickle at vega" in Pair(HERE, bare).why_no_code()


@pytest.mark.parametrize("said", [None, 5, {}, {"packages": 5}, {"python": None, "packages": {}}])
def test_an_end_that_says_strange_things_of_itself_gets_no_code(said):
    assert not Pair(HERE, About.from_wire(said)).code_travels


def test_a_function_travels_as_source_and_never_as_bytecode():
    names = notebook("def double(x):\n    return 2 * x")
    made = travel(names["double"])
    assert made(4) == 8
    pickled = names_pickled(names["double"])
    assert "def double(x):\n    return 2 * x" in {text.strip() for text in pickled}
    assert not any("cloudpickle" in text for text in pickled)


def test_a_function_takes_along_what_it_refers_to():
    names = notebook(
        "import math\n"
        "import numpy as np\n"
        "scale = np.arange(3)\n"
        "unused = open\n"
        "def helper(x: Undefined = scale, *, by=math.pi) -> Undefined:\n"
        "    return (lambda: x.sum() * by + len(scale))()\n"
        "def factorial(n, unused=None):\n"
        "    return 1 if n < 2 else n * factorial(n - 1) if helper() else [f() for f in ()]\n"
    )
    names["helper"].__annotations__.clear()
    made = travel([names["factorial"], names["factorial"]])
    assert made[0](5) == 120
    assert made[0] is made[1]
    assert "unused" not in made[0].__globals__


def test_a_closure_keeps_its_values():
    names = notebook(
        "def make(a, b):\n"
        "    def inner(x):\n"
        "        def deepest():\n"
        "            return a + b(x)\n"
        "        return deepest()\n"
        "    return inner\n"
        "def square(x):\n"
        "    return x * x\n"
    )
    assert travel(names["make"](1, names["square"]))(3) == 10


def test_functions_of_modules_travel_by_name():
    assert travel([np.linalg.norm, shutil.copy, len]) == [np.linalg.norm, shutil.copy, len]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("value = lambda x: x", "it is a lambda"),
        ("import functools\n@functools.cache\ndef value(): pass\nvalue = value.__wrapped__",
         "it is decorated"),
        ("class Value: pass\nvalue = Value()", "the class Value is defined in the notebook"),
        ("class Value: pass\ndef value(): return Value", "the class Value is defined"),
        ("exec('def value(): pass')", "its source text is not known"),
        ("class C:\n    def f(self): return super().f()\nvalue = C.f", "it uses super"),
    ],
)  # fmt: skip
def test_what_cannot_travel_is_refused_with_both_versions(code, reason):
    with pytest.raises(VersionsError) as refused:
        codec.pack(notebook(code)["value"], "value", SKEWED)
    words = str(refused.value)
    assert words.startswith("value (")
    assert reason in words
    assert f"Python {HERE.python} here" in words
    assert "Python 3.99.1 at vega" in words


def test_source_that_is_too_new_for_the_other_end_names_both_versions():
    made = (codec.source.make, ("def f(:", "f", ()))

    class Pickled:
        def __reduce__(self) -> Any:
            return made

    packed = codec.pack(Pickled(), "f", Pair(HERE, HERE))
    with pytest.raises(VersionsError, match=rf"f .*SyntaxError.*Python {HERE.python} here"):
        codec.unpack([b"".join(packed.pickle)], "f", "function", SKEWED)


def test_arrays_of_numpy_1_are_read_without_a_warning():
    pickled = (
        b"\x80\x02cnumpy.core.multiarray\nscalar\nq\x00cnumpy\ndtype\nq\x01X\x02\x00\x00\x00f8q\x02"
        b"\x89\x88\x87q\x03Rq\x04(K\x03X\x01\x00\x00\x00<q\x05NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff"
        b"K\x00tq\x06bC\x08\x00\x00\x00\x00\x00\x00\xf8?q\x07\x86q\x08Rq\x09."
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert codec.unpack([pickled], "x", "float64", Pair(HERE, HERE)) == 1.5


def test_arrays_of_numpy_2_are_read_by_numpy_1(monkeypatch):
    packed = codec.pack(np.float64(1.5), "x", Pair(HERE, HERE))
    old = SimpleNamespace(scalar=lambda dtype, data: "made by NumPy 1")
    monkeypatch.setitem(sys.modules, "numpy.core.multiarray", old)
    monkeypatch.setattr(np, "__version__", "1.26.4")
    parts = [b"".join(packed.pickle)]
    assert codec.unpack(parts, "x", "float64", Pair(HERE, HERE)) == "made by NumPy 1"


# Another process, which says that it runs another Python

SERVE = """
import platform, socket, sys
from farlab_kernels.variables import versions
platform.python_version = lambda: "3.99.1"
versions.PACKAGES = ("cloudpickle",)
from farlab_kernels.variables.site import Site
class Shell:
    user_ns = {}
    def push(self, variables): self.user_ns.update(variables)
site = Site(Shell())
site.serve(socket.socket(fileno=int(sys.argv[1])), {"place": "vega", "about": eval(sys.argv[2])})
"""


@pytest.fixture
async def other() -> AsyncIterator[Data]:
    """A site's end in a process that calls its Python another one, and has no NumPy."""
    kernels = Path(codec.__file__).parents[2]
    processes = []

    async def dial(kind: str, **hello: Any) -> Any:
        ours, theirs = socket.socketpair()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SERVE, str(theirs.fileno()), repr(hello["about"]),
            pass_fds=[theirs.fileno()], env={**os.environ, "PYTHONPATH": str(kernels)},
        )  # fmt: skip
        processes.append(process)
        theirs.close()
        return *await asyncio.open_connection(sock=ours), {}

    data = Data(dial, "vega")
    yield data
    await data.close()
    for process in processes:
        await asyncio.wait_for(process.wait(), 60)


async def test_another_python_gets_values_and_functions_and_gives_them_back(other):
    names = notebook("import math\ndef area(r, *, pi=math.pi):\n    return pi * r ** 2")
    values = {"text": "a" * 1_000_000, "area": names["area"], "raw": bytearray(b"x" * 2_000_000)}
    await other.push(values)
    back = await other.pull(["text", "raw", "area"])
    assert back["text"] == values["text"]
    assert back["raw"] == values["raw"]
    assert back["area"](2) == names["area"](2)


async def test_another_python_is_not_sent_what_would_crash_it(other):
    with pytest.raises(VersionsError, match=rf"Python {HERE.python} here and Python 3\.99"):
        await other.push({"f": lambda x: x + 1})
    with pytest.raises(UnsendableError, match="no numpy at vega"):
        await other.push({"array": np.ones(3)})
    await other.push({"x": 1})
    assert await other.pull(["x"]) == {"x": 1}
