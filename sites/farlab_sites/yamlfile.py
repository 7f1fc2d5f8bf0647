"""YAML as plain data and the line of every value, with limits that hostile input can't pass."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Where = tuple[str | int, ...]
"""The way to a value from the top: keys and list indices."""

SIZE_LIMIT = 2**20
"""Bytes. A catalogue of 500 sites is smaller."""
DEPTH_LIMIT = 30
NODE_LIMIT = 50_000
"""Values after aliases are followed: a small file can't grow without bound in memory."""

_TAG = "tag:yaml.org,2002:"
_SCALARS: dict[str, tuple[Callable[[str], object], str, list[str]]] = {
    "null": (lambda _: None, r"(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    "bool": (
        lambda text: {"true": True, "false": False}[text.lower()],
        r"(?:true|True|TRUE|false|False|FALSE)$",
        list("tTfF"),
    ),
    "int": (int, r"[-+]?[0-9]+$", list("-+0123456789")),
    "float": (
        float,
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$",
        list("-+.0123456789"),
    ),
}


class YamlError(Exception):
    """What is wrong with the text, where, and the fix."""

    def __init__(self, line: int, message: str, fix: str, where: Where = ()) -> None:
        super().__init__(message)
        self.line, self.message, self.fix, self.where = line, message, fix, where


def _too_deep(line: int) -> YamlError:
    return YamlError(line, "is nested too deeply", "write it flatter")


def _too_many(line: int, where: Where = ()) -> YamlError:
    fix = "use fewer aliases (*name) of large parts, or fewer entries"
    return YamlError(line, f"holds more than {NODE_LIMIT} values", fix, where)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with limits and only the plain scalars of YAML 1.2.

    So `8:00:00` is a text (to YAML 1.1 it is the number 28800), and so are `no`, `on` and dates.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - replaces PyYAML's own
    depth = count = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Return the next node; give up where the file is too deep or too long."""
        self.depth += 1
        self.count += 1
        if self.depth > DEPTH_LIMIT or self.count > NODE_LIMIT:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            deep = self.depth > DEPTH_LIMIT
            raise _too_deep(mark.line + 1) if deep else _too_many(mark.line + 1)
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


for _kind, (_, _pattern, _first) in _SCALARS.items():
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(_pattern), _first)


class _Reader:
    """Turns one document's nodes into data, and remembers the line of every value."""

    def __init__(self) -> None:
        self.lines: dict[Where, int] = {}
        self.count = 0
        self.open: list[int] = []

    def value(self, node: Node, where: Where) -> Any:
        """Return a node's value; refuse what refers to itself, grows too much or is no data."""
        line = node.start_mark.line + 1
        self.lines.setdefault(where, line)
        self.count += 1
        if self.count > NODE_LIMIT:
            raise _too_many(line, where)
        if id(node) in self.open:
            raise YamlError(line, "refers to itself", "remove the alias (*name)", where)
        self.open.append(id(node))
        try:
            return self._content(node, where, line)
        finally:
            self.open.pop()

    def _content(self, node: Node, where: Where, line: int) -> Any:
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, MappingNode) and kind == "map":
            return self._mapping(node, where)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.value(item, (*where, i)) for i, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and kind == "str":
            return node.value
        if isinstance(node, ScalarNode) and kind in _SCALARS:
            try:
                return _SCALARS[kind][0](node.value)
            except (ValueError, KeyError):
                raise YamlError(line, f"is not of the kind !!{kind}", "correct it", where) from None
        raise YamlError(line, f"has the tag {node.tag[:60]}", "remove the tag (!...)", where)

    def _mapping(self, node: MappingNode, where: Where) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key_node, ScalarNode) or key_node.tag != _TAG + "str":
                fix = "write the key as text, in quotes if need be"
                raise YamlError(line, "has a key that is not text", fix, where)
            at = (*where, key)
            if key in data:
                fix = f"remove it, or the one on line {self.lines[at]}"
                raise YamlError(line, "is there twice", fix, at)
            self.lines[at] = line
            data[key] = self.value(value_node, at)
        return data


def read_yaml(raw: bytes) -> tuple[Any, dict[Where, int]]:
    """Return the document's data and the line of every value; raise YamlError."""
    if len(raw) > SIZE_LIMIT:
        fix = "keep only what describes sites"
        raise YamlError(0, f"is larger than {SIZE_LIMIT // 2**20} MiB", fix)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise YamlError(line, "is not UTF-8 text", "save the file as UTF-8") from None
    return _read_text(text)


def _read_text(text: str) -> tuple[Any, dict[Where, int]]:
    try:
        node = _Loader(text).get_single_node()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(line, "holds a control character", "remove it") from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error) from None
    if node is None:
        raise YamlError(0, "is empty", "start it with what it describes")
    reader = _Reader()
    return reader.value(node, ()), reader.lines


def _syntax_error(error: yaml.MarkedYAMLError) -> YamlError:
    """Return PyYAML's words with a line and what usually helps."""
    mark = error.problem_mark or error.context_mark
    problem = error.problem or "can't be read"
    fix = "check indentation, quotes and brackets on this line and the one before"
    if "'\\t'" in problem:
        problem, fix = "has a tab where spaces are needed", "indent with spaces"
    words = f"is not YAML: {problem}" + (f" ({error.context})" if error.context else "")
    return YamlError(mark.line + 1 if mark else 0, words, fix)
