"""Functions as source text, for a kernel with another minor version of Python.

The text goes with what it refers to: the global names it uses, its closure and its defaults. What
has no text of its own (a lambda, a decorated function, a method that calls super) is refused.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import dis
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from hashlib import sha256
from types import CodeType, FunctionType
from typing import Any

_GLOBALS = ("LOAD_GLOBAL", "LOAD_NAME", "STORE_GLOBAL", "DELETE_GLOBAL")


class NoSourceError(Exception):
    """A function that has no source text which would make it again; says why."""


def reduce(function: FunctionType) -> tuple[Any, ...]:
    """Return pickle's instructions for a function. Raises NoSourceError."""
    text = _text(function)
    closure = dict(_closure(function))
    if "__class__" in closure:
        raise NoSourceError("it uses super() or __class__")
    known = function.__globals__
    state = {
        "globals": {name: known[name] for name in global_names(function.__code__) if name in known},
        "closure": closure,
        "defaults": function.__defaults__,
        "kwdefaults": function.__kwdefaults__,
        "module": function.__module__,
    }
    free = function.__code__.co_freevars
    return make, (text, function.__name__, free), state, None, None, fill


def _text(function: FunctionType) -> str:
    try:
        text = textwrap.dedent(inspect.getsource(function))
        node = ast.parse(text).body[0]
    except (OSError, TypeError):
        raise NoSourceError("its source text is not known") from None
    except SyntaxError:
        raise NoSourceError("its source text is part of a longer line") from None
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        raise NoSourceError("it is a lambda: give it a name with def")
    if node.decorator_list:
        raise NoSourceError("it is decorated")
    if node.name != function.__name__:
        raise NoSourceError("its source text is another function's")
    return text


def _closure(function: FunctionType) -> Iterator[tuple[str, Any]]:
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:  # not assigned yet
            continue


def global_names(code: CodeType) -> set[str]:
    """Return the global names that a function's code uses, in nested functions too."""
    found = {step.argval for step in dis.get_instructions(code) if step.opname in _GLOBALS}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= global_names(constant)
    return found


def make(text: str, name: str, free: tuple[str, ...]) -> FunctionType:
    """Make a function from its text; `fill` gives it the rest. Raises SyntaxError."""
    tree = ast.parse(text)
    node = tree.body[0]
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)  # noqa: S101  (for the type checker)
    # The defaults' values follow in `fill`: their expressions may name what is not here.
    node.args.defaults = [_none(default) for default in node.args.defaults]
    node.args.kw_defaults = [default and _none(default) for default in node.args.kw_defaults]
    if free:
        tree.body = [_enclosed(node, free)]
    namespace: dict[str, Any] = {"__name__": "__main__", "__builtins__": builtins}
    flags = __future__.annotations.compiler_flag
    filename = f"<farlab {name} {sha256(text.encode()).hexdigest()[:12]}>"
    exec(compile(tree, filename, "exec", flags, dont_inherit=True), namespace)  # noqa: S102
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    function = namespace.pop(name)
    made = function(*free) if free else function
    assert isinstance(made, FunctionType)  # noqa: S101  (for the type checker)
    return made


def _none(default: ast.expr) -> ast.expr:
    return ast.copy_location(ast.Constant(None), default)


def _enclosed(node: ast.FunctionDef | ast.AsyncFunctionDef, free: tuple[str, ...]) -> ast.stmt:
    """Return a function that returns the given one, with the free names as parameters."""
    outer = ast.parse(f"def {node.name}({', '.join(free)}):\n    return {node.name}").body[0]
    assert isinstance(outer, ast.FunctionDef)  # noqa: S101  (for the type checker)
    outer.body.insert(0, node)
    return outer


def fill(function: FunctionType, state: dict[str, Any]) -> None:
    """Give a function made from text its globals, closure and defaults."""
    function.__globals__.update(state["globals"])
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["kwdefaults"]
    function.__module__ = state["module"]
    cells = function.__closure__ or ()
    for name, cell in zip(function.__code__.co_freevars, cells, strict=True):
        if name in state["closure"]:
            cell.cell_contents = state["closure"][name]
        else:
            del cell.cell_contents
