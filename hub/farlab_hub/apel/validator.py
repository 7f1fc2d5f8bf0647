"""A strict validator of messages: it also refuses what APEL's own loader lets through.

That loader takes a cloud record with an unknown status, an end before its start, negative CPU
time, no FQAN or a wrong version; such records then spoil sums that nobody can trace back.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .formats import BENCHMARKS, CLOUD, GPU, JOB, SUMMARY, Format, Kind
from .message import MessageError, read_message

_LATEST = 4_102_444_800  # 2100: beyond it a time is in milliseconds, or wrong
_NULLS = ("", "none", "null", "empty")


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong with a message. `record` counts from 1; 0 is the message itself."""

    record: int
    line: int
    field: str
    value: str
    words: str
    fix: str

    def __str__(self) -> str:
        where = f"record {self.record} (line {self.line})" if self.record else f"line {self.line}"
        shown = f' "{self.value[:60]}"' if self.value else ""
        field = f"{self.field}{shown} " if self.field else ""
        return f"{where}: {field}{self.words}; {self.fix}"


def check_message(text: str) -> list[Flaw]:
    """Return everything that is wrong with a message; nothing if it is right."""
    try:
        message = read_message(text)
    except MessageError as error:
        return [Flaw(0, error.line, "", "", error.words, error.fix)]
    if not message.entries:
        return [Flaw(0, 1, "", "", "is a header without records", "send no empty message")]
    flaws = []
    for number, entry in enumerate(message.entries, 1):
        for field, value, words, fix in check_fields(message.format, entry.fields):
            flaws.append(Flaw(number, entry.line, field, value, words, fix))
    return flaws


Wrong = tuple[str, str, str, str]
"""Field, value, what is wrong, and the fix."""


def check_fields(format_: Format, fields: Mapping[str, str]) -> Iterator[Wrong]:
    """Yield everything that is wrong with one record."""
    broken = set()
    for name in format_.required:
        if fields.get(name, "").lower() in _NULLS:
            broken.add(name)
            yield name, "", "is missing", f"give {format_.fields[name].value}"
    for name, value in fields.items():
        kind = format_.fields.get(name)
        if kind is None:
            yield name, value, f"is no field of a {format_.name}", "remove it"
        elif name not in broken and value.lower() not in _NULLS and not _GOOD[kind](value):
            broken.add(name)
            yield name, value, f"is not {kind.value}", _fix(kind)
    if not broken and (rule := _RULES.get(format_.name)):
        yield from rule(fields)


def _fix(kind: Kind) -> str:
    return {
        Kind.WHOLE: "round it",
        Kind.DECIMAL: "round it to three decimals",
        Kind.TIME: "round it to the second, in UTC",
    }.get(kind, "correct it")


def seconds(value: str) -> int | None:
    """Return a time in seconds since 1970; None if it is no time."""
    if re.fullmatch(r"\d{1,10}", value):
        return int(value)
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", value):
        return None
    try:
        return int(datetime.datetime.fromisoformat(value).timestamp())
    except ValueError:
        return None


def _is_time(value: str) -> bool:
    found = seconds(value)
    return found is not None and 0 < found < _LATEST


def _is_fqan(value: str) -> bool:
    return bool(re.fullmatch(r"(/[\w.+%-][\w .+%:-]*)(/[\w .+%:=-]+)*|[\w.+%-][\w .+%:-]*", value))


def _is_level(value: str) -> bool:
    inner = re.fullmatch(r"\{(.+)\}", value)
    return inner is not None and all(map(_is_benchmark, inner[1].split(",")))


def _is_benchmark(part: str) -> bool:
    name, _, value = part.partition(":")
    good = re.fullmatch(r"\s*\d+(\.\d+)?\s*", value)
    return name.strip().lower() in BENCHMARKS and bool(good) and float(value) > 0


def _matcher(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern)
    return lambda value: compiled.fullmatch(value) is not None


_GOOD: dict[Kind, Callable[[str], bool]] = {
    Kind.TEXT: _matcher(r"[ -~]{1,1024}"),
    Kind.WHOLE: _matcher(r"\d{1,18}"),
    Kind.DECIMAL: _matcher(r"\d{1,12}(\.\d{1,3})?"),
    Kind.TIME: _is_time,
    Kind.STATUS: _matcher("started|suspended|completed"),
    Kind.MONTH: _matcher("[1-9]|1[0-2]"),
    Kind.YEAR: _matcher(r"20\d\d"),
    Kind.FQAN: _is_fqan,
    Kind.LEVEL: _is_level,
    Kind.DEVICE: _matcher("GPU|FPGA|Other"),
}


def _cloud(fields: Mapping[str, str]) -> Iterator[Wrong]:
    status, end = fields["Status"], fields.get("EndTime", "")
    has_end = end.lower() not in _NULLS
    if status == "completed" and not has_end:
        yield "EndTime", "", "is missing from a completed record", "give the end"
    if status != "completed" and has_end:
        yield "EndTime", end, f"belongs to no {status} record", "leave it out until it is completed"
    elif has_end:
        yield from _duration(fields, int(fields.get("SuspendDuration") or 0))
    yield from _order(fields, "StartTime", "RecordCreateTime")
    if (fields.get("BenchmarkType") is None) != (fields.get("Benchmark") is None):
        yield "BenchmarkType", "", "needs Benchmark, and the other way round", "give both"


def _order(fields: Mapping[str, str], first: str, second: str) -> Iterator[Wrong]:
    if (seconds(fields[second]) or 0) < (seconds(fields[first]) or 0):
        fix = "correct the times; a clock may have moved"
        yield second, fields[second], f"is before {first}", fix


def _duration(fields: Mapping[str, str], suspended: int) -> Iterator[Wrong]:
    """Yield what is wrong between start, end and duration; each may be rounded."""
    lasted = (seconds(fields["EndTime"]) or 0) - (seconds(fields["StartTime"]) or 0)
    if lasted < 0:
        yield from _order(fields, "StartTime", "EndTime")
    elif int(fields["WallDuration"]) + suspended > lasted + 1:
        wall = fields["WallDuration"]
        yield "WallDuration", wall, "is longer than from start to end", "correct it"


def _job(fields: Mapping[str, str]) -> Iterator[Wrong]:
    yield from _duration(fields, 0)
    if int(fields["Processors"]) < 1:
        yield "Processors", fields["Processors"], "must be at least 1", "send it as cloud record"


def _summary(fields: Mapping[str, str]) -> Iterator[Wrong]:
    yield from _order(fields, "EarliestEndTime", "LatestEndTime")
    if int(fields["NumberOfJobs"]) < 1:
        yield "NumberOfJobs", fields["NumberOfJobs"], "must be at least 1", "leave the record out"


def _gpu(fields: Mapping[str, str]) -> Iterator[Wrong]:
    active, there = fields.get("ActiveDuration"), fields["AvailableDuration"]
    if active and int(active) > int(there):
        yield "ActiveDuration", active, "is longer than AvailableDuration", "correct it"
    if int(there) > 31 * 86400:
        yield (
            "AvailableDuration",
            there,
            "is longer than a month",
            "count this month's seconds only",
        )
    if float(fields["Count"]) <= 0:
        yield "Count", fields["Count"], "must be more than 0", "leave the record out"


_RULES: dict[str, Callable[[Mapping[str, str]], Iterator[Wrong]]] = {
    CLOUD.name: _cloud,
    JOB.name: _job,
    SUMMARY.name: _summary,
    GPU.name: _gpu,
}
