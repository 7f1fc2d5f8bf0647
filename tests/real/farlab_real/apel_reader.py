"""An independent reader of APEL's messages, written from the formats' tables alone.

    for record in read(text): record["VMUUID"], record["WallDuration"], ...

It shares no line with what writes the messages, so that both being wrong in one way is unlikely.
Whatever a table forbids ends in `NotApelError`, which names record and field.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Record = dict[str, Any]


class NotApelError(AssertionError):
    """A text that the tables do not allow."""


def _text(value: str) -> str:
    if not value or any(not 32 <= ord(char) < 127 for char in value):
        raise ValueError("no line of ASCII")
    return value


def _int(value: str) -> int:
    if not value.isdigit():
        raise ValueError("no integer")
    return int(value)


def _float(value: str) -> Decimal:
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError("no decimal") from None
    if not number.is_finite() or number < 0 or number != round(number, 3):
        raise ValueError("no DECIMAL(10,3)")
    return number


def _time(value: str) -> int:
    if value.isdigit():
        moment = datetime.fromtimestamp(int(value), UTC)
    else:
        moment = datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    if not 2000 <= moment.year < 2100:
        raise ValueError("no time of this century")
    return int(moment.timestamp())


def _fqan(value: str) -> tuple[str, str, str]:
    """Return VO, group and role."""
    path, _, role = _text(value).partition("/Role=")
    vo = path.split("/")[1] if path.startswith("/") else path
    if not vo or "//" in path or "=" in path:
        raise ValueError("no VO in the FQAN")
    return vo, path, role


def _levels(value: str) -> dict[str, Decimal]:
    if not (value.startswith("{") and value.endswith("}")):
        raise ValueError("no dictionary")
    pairs = dict(part.split(":") for part in value[1:-1].split(","))
    levels = {name.strip().lower(): _float(number.strip()) for name, number in pairs.items()}
    if not levels or not set(levels) <= {"si2k", "hepspec", "hepscore23"}:
        raise ValueError("an unknown benchmark")
    return levels


def _one_of(*words: str) -> Callable[[str], str]:
    def read_word(value: str) -> str:
        if value not in words:
            raise ValueError(f"none of {words}")
        return value

    return read_word


def _between(low: int, high: int) -> Callable[[str], int]:
    def read_number(value: str) -> int:
        if not low <= _int(value) <= high:
            raise ValueError(f"not from {low} to {high}")
        return int(value)

    return read_number


# As the tables list them: an asterisk marks what may not be NULL.
_CLOUD = {
    "RecordCreateTime*": _time,
    "VMUUID*": _text,
    "SiteName*": _text,
    "CloudComputeService": _text,
    "MachineName*": _text,
    "LocalUserId": _text,
    "LocalGroupId": _text,
    "GlobalUserName": _text,
    "FQAN*": _fqan,
    "Status*": _one_of("started", "completed", "suspended"),
    "StartTime*": _time,
    "EndTime": _time,
    "SuspendDuration": _int,
    "WallDuration*": _int,
    "CpuDuration": _int,
    "CpuCount*": _float,
    "NetworkType": _text,
    "NetworkInbound": _int,
    "NetworkOutbound": _int,
    "PublicIPCount": _int,
    "Memory": _int,
    "Disk": _int,
    "BenchmarkType": _text,
    "Benchmark": _float,
    "StorageRecordId": _text,
    "ImageId": _text,
    "CloudType": _text,
}
_JOB = {
    "Site*": _text,
    "SubmitHost*": _text,
    "MachineName": _text,
    "Queue": _text,
    "LocalJobId*": _text,
    "LocalUserId": _text,
    "GlobalUserName": _text,
    "FQAN*": _fqan,
    "VO": _text,
    "VOGroup": _text,
    "VORole": _text,
    "WallDuration*": _int,
    "CpuDuration*": _int,
    "Processors*": _between(1, 10**6),
    "NodeCount": _int,
    "StartTime*": _time,
    "EndTime*": _time,
    "InfrastructureDescription": _text,
    "InfrastructureType": _one_of("grid", "local"),
    "MemoryReal": _int,
    "MemoryVirtual": _int,
    "ServiceLevel*": _levels,
}
_SUMMARY = {
    "Site*": _text,
    "Month*": _between(1, 12),
    "Year*": _between(2000, 2100),
    "GlobalUserName": _text,
    "VO*": _text,
    "VOGroup": _text,
    "VORole": _text,
    "SubmitHost*": _text,
    "InfrastructureType": _one_of("grid", "local"),
    "ServiceLevel*": _levels,
    "NodeCount": _int,
    "Processors": _int,
    "EarliestEndTime": _time,
    "LatestEndTime": _time,
    "WallDuration*": _int,
    "CpuDuration*": _int,
    "NumberOfJobs*": _between(1, 10**9),
}
_SYNC = {
    "Site*": _text,
    "SubmitHost*": _text,
    "NumberOfJobs*": _between(1, 10**9),
    "Month*": _between(1, 12),
    "Year*": _between(2000, 2100),
}
_GPU = {
    "MeasurementMonth*": _between(1, 12),
    "MeasurementYear*": _between(2000, 2100),
    "AssociatedRecordType*": _one_of("cloud"),
    "AssociatedRecord*": _text,
    "GlobalUserName": _text,
    "FQAN*": _fqan,
    "SiteName*": _text,
    "Count*": _float,
    "Cores": _int,
    "ActiveDuration": _int,
    "AvailableDuration*": _between(0, 31 * 86400),
    "BenchmarkType": _text,
    "Benchmark": _float,
    "Type*": _one_of("GPU", "FPGA", "Other"),
    "Model": _text,
}
_TABLES: dict[str, Any] = {
    "APEL-cloud-message: v0.4": _CLOUD,
    "APEL-individual-job-message: v0.4": _JOB,
    "APEL-summary-job-message: v0.4": _SUMMARY,
    "APEL-sync-message: v0.1": _SYNC,
}


def read(text: str) -> list[Record]:
    """Return a message's records with typed values; the header is in each as `""`."""
    if text.startswith("{"):
        return _read_gpu(text)
    header, _, body = text.partition("\n")
    if header not in _TABLES:
        raise NotApelError(f"header {header!r}")
    blocks = [block for block in body.split("%%\n") if block.strip()]
    if not blocks:
        raise NotApelError("no record")
    return [_record(number, header, block) for number, block in enumerate(blocks, 1)]


def _record(number: int, header: str, block: str) -> Record:
    pairs = [line.split(": ", 1) for line in block.splitlines()]
    if any(len(pair) != 2 for pair in pairs):
        raise NotApelError(f"record {number}: a line without key and value")
    keys = [key for key, _ in pairs]
    table = _TABLES[header]
    order = [name.rstrip("*") for name in table]
    if keys != [name for name in order if name in keys]:
        raise NotApelError(f"record {number}: unknown, doubled or misplaced keys: {keys}")
    record = {"": header} | _typed(number, table, dict(pairs))
    _times_fit(number, record)
    return record


def _typed(number: int, table: dict[str, Any], given: dict[str, str]) -> Record:
    found: Record = {}
    for name, kind in table.items():
        key = name.rstrip("*")
        if given.get(key, "").lower() in ("", "none", "null", "empty"):
            if name.endswith("*"):
                raise NotApelError(f"record {number}: {key} is missing")
            continue
        try:
            found[key] = kind(given[key])
        except ValueError as error:
            raise NotApelError(f"record {number}: {key} {given[key]!r}: {error}") from None
    return found


def _times_fit(number: int, record: Record) -> None:
    start, end = record.get("StartTime"), record.get("EndTime")
    status = record.get("Status")
    if status and (status == "completed") != (end is not None):
        raise NotApelError(f"record {number}: {status}, and EndTime {end}")
    if start is None:
        return
    if end is not None and (end < start or record["WallDuration"] > end - start + 1):
        raise NotApelError(f"record {number}: from {start} to {end} in {record}")
    created = record.get("RecordCreateTime")
    if created is not None and created < start:
        raise NotApelError(f"record {number}: was made before it started")


def _read_gpu(text: str) -> list[Record]:
    message = json.loads(text)
    if (message.pop("Type"), message.pop("Version")) != ("APEL-accelerator-message", "0.1"):
        raise NotApelError("type or version")
    records = message.pop("UsageRecords")
    if message or not records:
        raise NotApelError("no record, or something beside the records")
    for record in records:
        if unknown := set(record) - {name.rstrip("*") for name in _GPU}:
            raise NotApelError(f"unknown keys: {unknown}")
    return [
        _typed(number, _GPU, {key: str(value) for key, value in record.items()})
        for number, record in enumerate(records, 1)
    ]


def row_key(record: Record) -> tuple[str, int, int]:
    """Return under what APEL's database keeps a cloud record: VM, month and year."""
    moment = record["EndTime"] if record["Status"] == "completed" else record["RecordCreateTime"]
    day = datetime.fromtimestamp(moment, UTC)
    return record["VMUUID"], day.month, day.year
