"""Which names a cell's code needs, from its text alone: for advice, never to send anything.

Names that are only in strings (`df.query("a > @limit")`) are not found, nor what functions of other
cells use.
"""

from __future__ import annotations

import builtins
import symtable
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any


def used(code: str) -> list[str]:
    """Return the names that the code uses and does not set, sorted."""
    try:
        table = symtable.symtable(_plain(code), "cell", "exec")
    except (SyntaxError, ValueError):
        return []
    set_here = {symbol.get_name() for symbol in table.get_symbols()
                if symbol.is_assigned() or symbol.is_imported()}  # fmt: skip
    wanted = set(_globals(table))
    return sorted(name for name in wanted - set_here if not hasattr(builtins, name))


def _plain(code: str) -> str:
    """Return the code without magics and shell commands."""
    lines = ("pass" if line.lstrip()[:1] in ("%", "!") else line for line in code.splitlines())
    return "\n".join(lines)


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        top = table.get_type() == "module"
        if symbol.is_referenced() and (top or symbol.is_global()):
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals(child)


def advise(missing: Iterable[str], here: Mapping[str, Any], site: str) -> str:
    """Return what to do about names that are missing at a site and known here, empty if none."""
    known = [name for name in missing if name in here]
    modules = {name: here[name].__name__ for name in known if isinstance(here[name], ModuleType)}
    values = [name for name in known if name not in modules]
    lines = []
    if values:
        said = ", ".join(f"`{name}`" for name in values)
        are = "is" if len(values) == 1 else "are"
        lines.append(f"{said} {are} defined here but not at {site}: add -i {' '.join(values)}")
    for name, module in modules.items():
        how = f"import {module}" if name == module else f"import {module} as {name}"
        lines.append(f"`{name}` is imported here but not at {site}: write `{how}` in the cell")
    return "\n".join(lines)
