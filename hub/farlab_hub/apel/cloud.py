"""Cloud Usage Records v0.4: one for each workload and month in which it ran.

Durations are cumulative since the start, as the format wants them: a workload that goes on gets a
row in each month, with what it used until then, and the receiver takes differences. All of them
have the workload's UUID, and within a month the last one replaces those before it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from farlab_sites.publishing import Target

from ..ledger.records import UsageRecord
from .formats import CLOUD, Kind
from .items import Item, Refusal, item_of
from .message import plain
from .months import Month
from .naming import WITHHELD, Place, fqan

GIGA = 1_000_000_000
_KIND_OF_CLOUD = "Farlab"


@dataclass(frozen=True, slots=True)
class Vm:
    """What one Cloud Usage Record says. Times in whole seconds; memory in bytes."""

    uuid: str
    created: int
    machine: str
    user: str
    group: str
    global_name: str
    fqan: str
    start: int
    end: int | None
    wall: int
    cpu: int | None
    cores: float
    memory: int
    image: str


def cloud_items(
    records: Iterable[UsageRecord], month: Month, places: Mapping[str, Place], target: Target
) -> Iterator[Item | Refusal]:
    """Yield the cloud records of a month; what did not run in it gives none."""
    for record in records:
        place = places.get(record.site)
        if place and (vm := vm_of(record, month, target)):
            yield vm_item(vm, place, target.memory)


def vm_of(record: UsageRecord, month: Month, target: Target) -> Vm | None:
    """Return what a workload used until it ended, or until the end of a month."""
    begun, ended = record.started, record.ended
    until = ended if ended is not None else record.heartbeat
    if begun is None or begun >= month.end or until < month.start:
        return None
    # A record that may still be corrected is sent as one that goes on: that one can be replaced.
    over = ended is not None and record.final and until < month.end
    cut = min(until, float(month.end))
    vo = fqan(record.vo or target.vo or "")
    hidden = target.names == WITHHELD
    return Vm(
        record.uid,
        min(round(cut), month.end - 1),
        record.job_id or record.uid,
        WITHHELD if hidden else record.account or record.owner,
        record.vo,
        WITHHELD if hidden else record.issuer_subject or record.owner,
        vo,
        round(begun),
        # Rounded up it could be the next month's first second.
        min(round(until), month.end - 1) if over else None,
        round(cut - begun),
        _cpu(record, cut - begun, until - begun),
        record.cores,
        record.memory,
        record.image,
    )


def _cpu(record: UsageRecord, so_far: float, whole: float) -> int | None:
    """Return the CPU seconds until a month's end: the same part of them as of the time."""
    if record.cpu_s is None:
        return None
    return round(record.cpu_s * so_far / whole) if so_far < whole else round(record.cpu_s)


def vm_item(vm: Vm, place: Place, memory_unit: str) -> Item | Refusal:
    """Return a Cloud Usage Record as lines, or what is wrong with it."""
    text = _text(vm, place, memory_unit)
    if _RIGHT(text) and _is_in_order(vm):
        return Item(CLOUD, vm.uuid, text)
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    checked = item_of(CLOUD, vm.uuid, fields)
    return checked if isinstance(checked, Refusal) else Item(CLOUD, vm.uuid, text)


def _text(vm: Vm, place: Place, memory_unit: str) -> str:
    """Return the lines. Written out, because a month can have a million of them."""
    memory = vm.memory if memory_unit == "bytes" else round(vm.memory / GIGA) or min(vm.memory, 1)
    cores = round(vm.cores, 3)
    return (
        f"RecordCreateTime: {_iso(vm.created)}\n"
        f"VMUUID: {vm.uuid}\n"
        f"{_place_lines(place)}"
        f"MachineName: {_plain(vm.machine)}\n"
        f"{_person_lines(vm.user, vm.group, vm.global_name, vm.fqan)}"
        f"Status: {'started' if vm.end is None else 'completed'}\n"
        f"StartTime: {vm.start}\n"
        f"{'' if vm.end is None else f'EndTime: {vm.end}' + chr(10)}"
        f"WallDuration: {vm.wall}\n"
        f"{'' if vm.cpu is None else f'CpuDuration: {vm.cpu}' + chr(10)}"
        f"CpuCount: {int(cores) if cores == int(cores) else cores}\n"
        f"{f'Memory: {memory}' + chr(10) if memory else ''}"
        f"{_benchmark_lines(place)}"
        f"{_image_line(vm.image)}"
        f"CloudType: {_KIND_OF_CLOUD}\n"
    )


def _is_in_order(vm: Vm) -> bool:
    """Tell what the lines' pattern can't: that the times fit each other."""
    if vm.end is not None and not vm.start <= vm.end >= vm.start + vm.wall - 1:
        return False
    return 0 < vm.start <= vm.created < 4_102_444_800


@lru_cache(maxsize=65536)
def _plain(text: str) -> str:
    return plain(text)


@lru_cache(maxsize=1024)
def _place_lines(place: Place) -> str:
    return f"SiteName: {place.name}\nCloudComputeService: {plain(place.service)}\n"


@lru_cache(maxsize=1024)
def _benchmark_lines(place: Place) -> str:
    if not place.benchmark:
        return ""
    return f"BenchmarkType: {place.benchmark}\nBenchmark: {round(place.value, 3)}\n"


@lru_cache(maxsize=65536)
def _person_lines(user: str, group: str, global_name: str, name: str) -> str:
    fields = {"LocalUserId": user, "LocalGroupId": group, "GlobalUserName": global_name}
    fields["FQAN"] = name
    return "".join(f"{key}: {plain(value)}\n" for key, value in fields.items() if value)


@lru_cache(maxsize=65536)
def _image_line(image: str) -> str:
    return f"ImageId: {plain(image)}\n" if image else ""


@lru_cache(maxsize=4096)
def _day(number: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(number * 86400))


def _iso(seconds: int) -> str:
    day, rest = divmod(seconds, 86400)
    return f"{_day(day)}T{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}Z"


_PATTERNS = {
    Kind.TEXT: r"[!-~][ -~]{0,1023}",
    Kind.WHOLE: r"\d{1,18}",
    Kind.DECIMAL: r"\d{1,12}(?:\.\d{1,3})?",
    Kind.TIME: r"(?:\d{1,10}|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)",
    Kind.STATUS: "(?:started|completed)",
    Kind.FQAN: r"(?:/[\w.+%-]+)+(?:/Role=[\w.+%-]+)?",
}


def _pattern() -> re.Pattern[str]:
    """Return what right records match: a quick look, before the validator is asked for words."""
    parts = []
    for name, kind in CLOUD.fields.items():
        line = f"{name}: {_PATTERNS[kind]}\n"
        parts.append(line if name in CLOUD.required else f"(?:{line})?")
    return re.compile("".join(parts), re.ASCII)


_RIGHT = _pattern().fullmatch
