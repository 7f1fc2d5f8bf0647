"""APEL's formats as data: which fields a record has, of which kind, and which it must have.

From the EGI tables of the Cloud Usage Record v0.4, job records v0.4, summaries v0.4, sync v0.1 and
draft 4 of the GPU usage record. Where those leave something open, the stricter reading is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """The kinds of values."""

    TEXT = "text"
    WHOLE = "a whole number that is not negative"
    DECIMAL = "a number with at most three decimals that is not negative"
    TIME = "a time, in whole seconds since 1970 or as 2026-10-31T12:00:00Z"
    STATUS = "started, suspended or completed"
    MONTH = "a month, 1 to 12"
    YEAR = "a year, such as 2026"
    FQAN = "a VO, or /vo/group/Role=role"
    LEVEL = "benchmarks and values, such as {hepscore23: 12.5}"
    DEVICE = "GPU, FPGA or Other"


@dataclass(frozen=True)
class Format:
    """One kind of record: the header of its messages, and its fields in their order."""

    name: str
    header: str
    fields: Mapping[str, Kind]
    required: tuple[str, ...]

    @property
    def type_name(self) -> str:
        """The header without its version."""
        return self.header.partition(":")[0]


_T, _I, _D, _WHEN = Kind.TEXT, Kind.WHOLE, Kind.DECIMAL, Kind.TIME

CLOUD = Format(
    "cloud record",
    "APEL-cloud-message: v0.4",
    {
        "RecordCreateTime": _WHEN,
        "VMUUID": _T,
        "SiteName": _T,
        "CloudComputeService": _T,
        "MachineName": _T,
        "LocalUserId": _T,
        "LocalGroupId": _T,
        "GlobalUserName": _T,
        "FQAN": Kind.FQAN,
        "Status": Kind.STATUS,
        "StartTime": _WHEN,
        "EndTime": _WHEN,
        "SuspendDuration": _I,
        "WallDuration": _I,
        "CpuDuration": _I,
        "CpuCount": _D,
        "NetworkType": _T,
        "NetworkInbound": _I,
        "NetworkOutbound": _I,
        "PublicIPCount": _I,
        "Memory": _I,
        "Disk": _I,
        "BenchmarkType": _T,
        "Benchmark": _D,
        "StorageRecordId": _T,
        "ImageId": _T,
        "CloudType": _T,
    },
    (
        "RecordCreateTime",
        "VMUUID",
        "SiteName",
        "MachineName",
        "FQAN",
        "Status",
        "StartTime",
        "WallDuration",
        "CpuCount",
    ),
)

JOB = Format(
    "job record",
    "APEL-individual-job-message: v0.4",
    {
        "Site": _T,
        "SubmitHost": _T,
        "MachineName": _T,
        "Queue": _T,
        "LocalJobId": _T,
        "LocalUserId": _T,
        "GlobalUserName": _T,
        "FQAN": Kind.FQAN,
        "VO": _T,
        "VOGroup": _T,
        "VORole": _T,
        "WallDuration": _I,
        "CpuDuration": _I,
        "Processors": _I,
        "NodeCount": _I,
        "StartTime": _WHEN,
        "EndTime": _WHEN,
        "InfrastructureDescription": _T,
        "InfrastructureType": _T,
        "MemoryReal": _I,
        "MemoryVirtual": _I,
        "ServiceLevel": Kind.LEVEL,
    },
    (
        "Site",
        "SubmitHost",
        "LocalJobId",
        "FQAN",
        "WallDuration",
        "CpuDuration",
        "Processors",
        "StartTime",
        "EndTime",
        "ServiceLevel",
    ),
)

SUMMARY = Format(
    "summary",
    "APEL-summary-job-message: v0.4",
    {
        "Site": _T,
        "Month": Kind.MONTH,
        "Year": Kind.YEAR,
        "GlobalUserName": _T,
        "VO": _T,
        "VOGroup": _T,
        "VORole": _T,
        "SubmitHost": _T,
        "InfrastructureType": _T,
        "ServiceLevel": Kind.LEVEL,
        "NodeCount": _I,
        "Processors": _I,
        "EarliestEndTime": _WHEN,
        "LatestEndTime": _WHEN,
        "WallDuration": _I,
        "CpuDuration": _I,
        "NumberOfJobs": _I,
    },
    (
        "Site",
        "Month",
        "Year",
        "VO",
        "SubmitHost",
        "ServiceLevel",
        "Processors",
        "EarliestEndTime",
        "LatestEndTime",
        "WallDuration",
        "CpuDuration",
        "NumberOfJobs",
    ),
)

SYNC = Format(
    "sync record",
    "APEL-sync-message: v0.1",
    {
        "Site": _T,
        "SubmitHost": _T,
        "NumberOfJobs": _I,
        "Month": Kind.MONTH,
        "Year": Kind.YEAR,
    },
    ("Site", "SubmitHost", "NumberOfJobs", "Month", "Year"),
)

GPU = Format(
    "GPU record",
    "APEL-accelerator-message: 0.1",
    {
        "MeasurementMonth": Kind.MONTH,
        "MeasurementYear": Kind.YEAR,
        "AssociatedRecordType": _T,
        "AssociatedRecord": _T,
        "GlobalUserName": _T,
        "FQAN": Kind.FQAN,
        "SiteName": _T,
        "Count": _D,
        "Cores": _I,
        "ActiveDuration": _I,
        "AvailableDuration": _I,
        "BenchmarkType": _T,
        "Benchmark": _D,
        "Type": Kind.DEVICE,
        "Model": _T,
    },
    (
        "MeasurementMonth",
        "MeasurementYear",
        "AssociatedRecordType",
        "AssociatedRecord",
        "FQAN",
        "SiteName",
        "Count",
        "AvailableDuration",
        "Type",
    ),
)

TEXT_FORMATS = {format_.type_name: format_ for format_ in (CLOUD, JOB, SUMMARY, SYNC)}
"""The formats that are lines of text, by their messages' header; GPU records are JSON."""

BENCHMARKS = ("si2k", "hepspec", "hepscore23")
"""What a service level may be given in, in small letters."""
