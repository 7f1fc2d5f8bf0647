"""What PROPFIND answers, read piece by piece: a folder of a million files is never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from xml.parsers import expat

DAV = "DAV: "
TEXTS = {f"{DAV}href", f"{DAV}getcontentlength", f"{DAV}getlastmodified", f"{DAV}getetag"}


class NotDavError(ValueError):
    """The answer is no multistatus."""


@dataclass(slots=True)
class Resource:
    """One response element."""

    href: str = ""
    folder: bool = False
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int | None:
        """Bytes; None for a folder, and where the server does not say."""
        text = self.texts.get("getcontentlength", "")
        return int(text) if text.isdecimal() and not self.folder else None

    @property
    def modified(self) -> float | None:
        """Epoch seconds."""
        try:
            return parsedate_to_datetime(self.texts.get("getlastmodified", "")).timestamp()
        except (ValueError, TypeError):
            return None


class Multistatus:
    """A parser that is fed with parts of the answer."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text
        # Entities can make a small answer huge, and no server needs them here.
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._root = ""
        self._resource: Resource | None = None
        self._words: list[str] | None = None
        self._done: list[Resource] = []

    def feed(self, part: bytes, *, last: bool = False) -> Iterator[Resource]:
        """Take the next part, and yield the resources that are complete with it."""
        try:
            self._parser.Parse(part, last)
        except expat.ExpatError as error:
            raise NotDavError(str(error)) from error
        done, self._done = self._done, []
        yield from done

    def _refuse(self, *_: object) -> None:
        raise NotDavError("a document type")

    def _start(self, name: str, _: object) -> None:
        if not self._root:
            self._root = name
            if name != f"{DAV}multistatus":
                raise NotDavError(f"the element {name}")
        if name == f"{DAV}response":
            self._resource = Resource()
        elif name == f"{DAV}collection" and self._resource:
            self._resource.folder = True
        elif name in TEXTS:
            self._words = []

    def _text(self, text: str) -> None:
        if self._words is not None:
            self._words.append(text)

    def _end(self, name: str) -> None:
        if self._words is not None and name in TEXTS and self._resource:
            text, self._words = "".join(self._words).strip(), None
            short = name.removeprefix(DAV)
            if short == "href" and not self._resource.href:
                self._resource.href = text
            elif text:
                self._resource.texts[short] = text
        elif name == f"{DAV}response" and self._resource:
            self._done.append(self._resource)
            self._resource = None
