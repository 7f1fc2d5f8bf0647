"""The strict validator: it refuses what APEL's loader takes, and names record, field and fix."""

from __future__ import annotations

import random

import pytest
from farlab_hub.apel import cloud
from farlab_hub.apel.items import Item
from farlab_hub.apel.months import Month
from farlab_hub.apel.publisher import items_for
from farlab_hub.apel.validator import check_message
from farlab_real.apel_parts import PLACE, PLACES, target, usage
from farlab_real.apel_reader import NotApelError, read

M10 = Month(2026, 10)
CLOUD = "APEL-cloud-message: v0.4"
JOB = "APEL-individual-job-message: v0.4"
GOOD_CLOUD = {
    "RecordCreateTime": "2026-10-01T12:00:00Z",
    "VMUUID": "11111111-2222-3333-4444-555555555555",
    "SiteName": "VEGA",
    "MachineName": "a",
    "FQAN": "/vo",
    "Status": "completed",
    "StartTime": "1790812800",
    "EndTime": "1790816400",
    "WallDuration": "3600",
    "CpuDuration": "100",
    "CpuCount": "0.5",
}
GOOD_JOB = {
    "Site": "VEGA",
    "SubmitHost": "vega",
    "LocalJobId": "1",
    "FQAN": "/vo",
    "WallDuration": "3600",
    "CpuDuration": "100",
    "Processors": "1",
    "StartTime": "1790812800",
    "EndTime": "1790816400",
    "ServiceLevel": "{hepscore23: 12.5, HEPSPEC: 11}",
}


def message(header: str, *records: dict[str, str]) -> str:
    lines = ["".join(f"{key}: {value}\n" for key, value in one.items()) for one in records]
    return f"{header}\n" + "%%\n".join(lines)


@pytest.mark.parametrize("good", [(CLOUD, GOOD_CLOUD), (JOB, GOOD_JOB)])
def test_good_messages_are_right(good: tuple[str, dict[str, str]]) -> None:
    text = message(good[0], good[1], good[1])
    assert check_message(text) == []
    assert len(read(text + "%%\n")) == 2


@pytest.mark.parametrize(
    ("header", "changes", "field", "words"),
    [
        (CLOUD, {"Status": "banana"}, "Status", "started, suspended or completed"),
        (CLOUD, {"EndTime": "1790812000"}, "EndTime", "before StartTime"),
        (CLOUD, {"CpuDuration": "-5"}, "CpuDuration", "not negative"),
        (CLOUD, {"FQAN": ""}, "FQAN", "missing"),
        (CLOUD, {"FQAN": "None"}, "FQAN", "missing"),
        (CLOUD, {"VMUUID": ""}, "VMUUID", "missing"),
        (CLOUD, {"MachineName": ""}, "MachineName", "missing"),
        (CLOUD, {"StartTime": ""}, "StartTime", "missing"),
        (CLOUD, {"RecordCreateTime": ""}, "RecordCreateTime", "missing"),
        (CLOUD, {"EndTime": ""}, "EndTime", "missing from a completed"),
        (CLOUD, {"Status": "started"}, "EndTime", "no started record"),
        (CLOUD, {"WallDuration": "3600.5"}, "WallDuration", "whole number"),
        (CLOUD, {"WallDuration": "3600.0"}, "WallDuration", "whole number"),
        (CLOUD, {"WallDuration": "999999"}, "WallDuration", "longer than from start"),
        (CLOUD, {"CpuCount": "0.12345"}, "CpuCount", "three decimals"),
        (CLOUD, {"CpuCount": "nan"}, "CpuCount", "three decimals"),
        (CLOUD, {"StartTime": "1790812800.5"}, "StartTime", "whole seconds"),
        (CLOUD, {"StartTime": "1790812800000"}, "StartTime", "whole seconds"),
        (CLOUD, {"StartTime": "2026-13-01T00:00:00Z"}, "StartTime", "whole seconds"),
        (CLOUD, {"StartTime": "2026-10-01T00:00:00+02:00"}, "StartTime", "whole seconds"),
        (CLOUD, {"Gpus": "2"}, "Gpus", "no field"),
        (CLOUD, {"Benchmark": "12"}, "BenchmarkType", "needs Benchmark"),
        (JOB, {"Processors": "0.5"}, "Processors", "whole number"),
        (JOB, {"Processors": "2.0"}, "Processors", "whole number"),
        (JOB, {"Processors": "0"}, "Processors", "at least 1"),
        (JOB, {"EndTime": "1790812000"}, "EndTime", "before StartTime"),
        (JOB, {"WallDuration": ""}, "WallDuration", "missing"),
        (JOB, {"ServiceLevel": ""}, "ServiceLevel", "missing"),
        (JOB, {"ServiceLevel": "12.5"}, "ServiceLevel", "benchmarks and values"),
        (JOB, {"ServiceLevel": "{custom: 1}"}, "ServiceLevel", "benchmarks and values"),
    ],
)
def test_bad_records_are_named(
    header: str, changes: dict[str, str], field: str, words: str
) -> None:
    good = GOOD_CLOUD if header == CLOUD else GOOD_JOB
    bad = {key: value for key, value in {**good, **changes}.items() if value}
    [flaw] = check_message(message(header, good, bad))
    assert (flaw.record, flaw.field) == (2, field)
    assert words in flaw.words
    assert f"record 2 (line {len(good) + 3})" in str(flaw)
    assert flaw.fix
    if field not in ("BenchmarkType",):  # a rule that the tables do not have
        with pytest.raises(NotApelError):
            read(message(header, bad))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "header"),
        ("APEL-cloud-message: v0.9\nVMUUID: x\n", "version"),
        ("APEL-cloud-message: v0.4\n", "without records"),
        ("APEL-cloud-message: v0.4\n%%\n%%\n", "without records"),
        ("APEL-banana-message: v0.4\nVMUUID: x\n", "not known"),
        ("APEL-cloud-message: v0.4\nVMUUID\n", 'no "Key: value"'),
        ("APEL-cloud-message: v0.4\nVMUUID: \u00e9\n", "ASCII"),
        ("APEL-cloud-message: v0.4\nVMUUID: a\nVMUUID: b\n", "twice"),
        ("<?xml version='1.0'?>", "XML"),
        ('{"Type": "APEL-accelerator-message"}', "version"),
        ('{"Type": "APEL-accelerator-message", "Version": "0.1", "UsageRecords": 1}', "list"),
        ('{"Type": "APEL-accelerator-message", "Version": "0.1", "UsageRecords": []}', "without"),
        ("{", "no JSON"),
        ("[]", "not known"),
    ],
)
def test_texts_that_are_no_messages(text: str, words: str) -> None:
    [flaw] = check_message(text)
    assert words in str(flaw)


def test_the_quick_look_takes_nothing_that_the_validator_refuses() -> None:
    rng = random.Random(11)
    changes = [
        ("cpu_s", [-5.0, 0.0, 1e30, None]),
        ("cores", [-1.0, 0.0, 0.1234, 1e15]),
        ("memory", [-1, 0, 10**30]),
        ("started", [0.0, -1.0, 1790812800.5, 5e9]),
        ("ended", [1790812801.0, 1790812700.0]),
        ("vo", ["", "a b", "//", "/vo/Role=", "vo%%", "\n", "/a/b/Role=x/Role=y", "=", "#"]),
        ("image", ["", " ", "\n", "\u00e9", "x" * 3000]),
        ("job_id", ["", "%%", "a: b"]),
        ("owner", ["", "\x00"]),
    ]
    quick = 0
    for _ in range(3000):
        some = rng.sample(changes, rng.randrange(0, 4))
        record = usage(**{name: rng.choice(values) for name, values in some})
        vm = cloud.vm_of(record, M10, target(names="global"))
        if not vm:
            continue
        text = cloud._text(vm, PLACE, "bytes")
        if cloud._is_right(vm):
            quick += 1
            assert check_message(f"{CLOUD}\n{text}") == []
        for item in items_for(target(), M10, lambda _, one=record: [one], PLACES):
            if isinstance(item, Item):
                assert check_message(f"{CLOUD}\n{item.text}") == []
    assert quick > 500
