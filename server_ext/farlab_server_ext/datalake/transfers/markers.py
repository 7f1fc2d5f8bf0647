"""What a door says while it copies: markers, and one last line that alone decides.

The HTTP status says nothing: it is 201 before the first byte. An answer without its last line was
cut, and what became of the copy is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_LINE = 8192
BYTES = "Stripe Bytes Transferred:"


@dataclass(slots=True)
class Markers:
    """Reads the lines of one answer."""

    bytes_done: int = 0
    verdict: bool | None = None
    """True after `success`, False after `failure`, None before either."""
    words: str = ""
    """The door's own, after `failure:`."""
    _rest: bytes = b""
    _stripes: int = 0

    def feed(self, part: bytes) -> None:
        """Take the next bytes."""
        lines = (self._rest + part).split(b"\n")
        self._rest = lines.pop()[:LONGEST_LINE]
        for line in lines:
            self._take(line.decode(errors="replace").strip())

    def end(self) -> None:
        """Take the end of the answer: the last line may have no newline."""
        self.feed(b"\n")

    def _take(self, line: str) -> None:
        if line == "Perf Marker":
            self._stripes = 0
        elif line.startswith(BYTES):
            number = line.removeprefix(BYTES).strip()
            self._stripes += int(number) if number.isdecimal() else 0
            self.bytes_done = max(self.bytes_done, self._stripes)
        elif line.lower().startswith("success"):
            self.verdict = True
        elif line.lower().startswith(("failure", "error", "aborted")):
            self.verdict = False
            self.words = line.partition(":")[2].strip()[:500] or line
