"""Where a server runs, as its environment tells."""

from __future__ import annotations

import pytest
from farlab_server_ext.place import Place, read_place

NOWHERE = Place(None, None, None, None, None, None, None, None)


def test_every_fact_is_read() -> None:
    environ = {
        "FARLAB_SITE": "vega",
        "FARLAB_SITE_TITLE": "Offload to Vega HPC",
        "FARLAB_SITE_KIND": "hpc",
        "FARLAB_PROFILE": "gpu",
        "FARLAB_NODE": "gn17",
        "FARLAB_JOB_ID": "4711",
        "FARLAB_WORKLOAD": "5b0e7a52",
        "FARLAB_DEADLINE": "1790000000",
        "FARLAB_SECRET": "not for the browser",
    }
    assert read_place(environ) == Place(
        "vega", "Offload to Vega HPC", "hpc", "gpu", "gn17", "4711", "5b0e7a52", 1_790_000_000
    )


def test_an_empty_environment_is_nowhere() -> None:
    assert read_place({}) == NOWHERE


@pytest.mark.parametrize("name", ["SITE", "SITE_TITLE", "PROFILE", "NODE", "JOB_ID", "WORKLOAD"])
def test_a_blank_value_is_unknown(name: str) -> None:
    assert read_place({f"FARLAB_{name}": "  "}) == NOWHERE


@pytest.mark.parametrize("kind", ["HPC", "mainframe", "", "hpc,htc"])
def test_a_kind_that_is_none_of_the_four_is_unknown(kind: str) -> None:
    assert read_place({"FARLAB_SITE_KIND": kind}).kind is None


@pytest.mark.parametrize(
    "deadline",
    ["", "soon", "-1", "0", "1e9", "1790000000.5", "1_790_000_000", "١٧٩", "9" * 12, "9" * 10_000],
)
def test_a_deadline_that_is_no_moment_is_unknown(deadline: str) -> None:
    assert read_place({"FARLAB_DEADLINE": deadline}).deadline is None
