"""Cloud Usage Records v0.4: one for each workload and month in which it ran.

Durations are cumulative since the start, as the format wants them: a workload that goes on gets a
row in each month, with what it used until then, and the receiver takes differences. All of them
have the workload's UUID, and within a month the last one replaces those before it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from farlab_sites.publishing import Target

from .formats import CLOUD
from .items import Item, Refusal, item_of
from .message import plain
from .months import Month
from .naming import WITHHELD, Place, fqan
from .source import Usage

GIGA = 1_000_000_000
_KIND_OF_CLOUD = "Farlab"
_ISO = "%Y-%m-%dT%H:%M:%SZ"
_NL = "\n"
# What the quick look takes is less than what the validator does.
_FQAN = re.compile(r"(?:/[\w.+%-]+)+(?:/Role=[\w.+%-]+)?", re.ASCII)
_SHORT = 250  # characters; each can become four
_LARGEST = 10**17
_MOST_CORES = 10**9
_YEAR_2100 = 4_102_444_800


class Vm(NamedTuple):
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
    records: Iterable[Usage], month: Month, places: Mapping[str, Place], target: Target
) -> Iterator[Item | Refusal]:
    """Yield the cloud records of a month; what did not run in it gives none."""
    for record in records:
        place = places.get(record.site)
        if place and (vm := vm_of(record, month, target)):
            yield vm_item(vm, place, target.memory)


def vm_of(record: Usage, month: Month, target: Target) -> Vm | None:
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


def _cpu(record: Usage, so_far: float, whole: float) -> int | None:
    """Return the CPU seconds until a month's end: the same part of them as of the time."""
    if record.cpu_s is None:
        return None
    return round(record.cpu_s * so_far / whole) if so_far < whole else round(record.cpu_s)


def vm_item(vm: Vm, place: Place, memory_unit: str) -> Item | Refusal:
    """Return a Cloud Usage Record as lines, or what is wrong with it."""
    text = _text(vm, place, memory_unit)
    if _is_right(vm):
        return Item(CLOUD, vm.uuid, text)
    fields = dict(line.split(": ", 1) for line in text.splitlines())
    checked = item_of(CLOUD, vm.uuid, fields)
    return checked if isinstance(checked, Refusal) else Item(CLOUD, vm.uuid, text)


def _text(vm: Vm, place: Place, memory_unit: str) -> str:
    """Return the lines. Written out, because a month can have a million of them."""
    memory = vm.memory if memory_unit == "bytes" else round(vm.memory / GIGA) or min(vm.memory, 1)
    cores = round(vm.cores, 3)
    end = f"Status: started\nStartTime: {vm.start}\n"
    if vm.end is not None:
        end = f"Status: completed\nStartTime: {vm.start}\nEndTime: {vm.end}\n"
    return (
        f"RecordCreateTime: {time.strftime(_ISO, time.gmtime(vm.created))}\n"
        f"VMUUID: {vm.uuid}\n"
        f"{place.cloud_lines}"
        f"MachineName: {plain(vm.machine)}\n"
        f"{_person_lines(vm.user, vm.group, vm.global_name, vm.fqan)}"
        f"{end}"
        f"WallDuration: {vm.wall}\n"
        f"{'' if vm.cpu is None else f'CpuDuration: {vm.cpu}{_NL}'}"
        f"CpuCount: {int(cores) if cores == int(cores) else cores}\n"
        f"{f'Memory: {memory}{_NL}' if memory else ''}"
        f"{place.benchmark_lines}"
        f"{_image_line(vm.image)}"
        f"CloudType: {_KIND_OF_CLOUD}\n"
    )


def _is_right(vm: Vm) -> bool:
    """Tell whether a record is right, at a quick look; if not, the validator is asked for words."""
    end = vm.start + vm.wall if vm.end is None else vm.end
    return (
        0 < vm.start <= vm.created < _YEAR_2100
        and 0 <= vm.wall <= end - vm.start + 1 <= _YEAR_2100
        and 0 <= (vm.cpu or 0) < _LARGEST
        and 0 <= vm.cores < _MOST_CORES
        and 0 <= vm.memory < _LARGEST
        and 0 < len(vm.uuid) <= _SHORT
        and vm.uuid.isascii()
        and vm.uuid.isprintable()
        and 0 < len(vm.machine) <= _SHORT
        and _are_right(vm.user, vm.group, vm.global_name, vm.fqan, vm.image)
    )


@lru_cache(maxsize=65536)
def _are_right(*texts: str) -> bool:
    """Tell whether texts can't be wrong in a record, of which the FQAN is the last but one."""
    short = all(len(text) <= _SHORT and text.strip() == text for text in texts)
    return short and _FQAN.fullmatch(texts[-2]) is not None


@lru_cache(maxsize=65536)
def _person_lines(user: str, group: str, global_name: str, name: str) -> str:
    fields = {"LocalUserId": user, "LocalGroupId": group, "GlobalUserName": global_name}
    fields["FQAN"] = name
    return "".join(f"{key}: {plain(value)}\n" for key, value in fields.items() if value)


@lru_cache(maxsize=65536)
def _image_line(image: str) -> str:
    return f"ImageId: {plain(image)}\n" if image else ""
