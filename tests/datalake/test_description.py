"""The DataLake API's description: it names what there is, and what it demands is demanded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farlab_server_ext.datalake_openapi import TABLE, describe, handlers, verbs

DOCS = Path(__file__).parents[2] / "docs"
NEEDED = [
    (path, verb)
    for path, table in TABLE.items()
    for verb, said in table.items()
    if any(name.endswith("!") for name in said.body)
]


def test_every_verb_is_described() -> None:
    found = {path: verbs(handler) for path, handler in handlers().items()}
    assert {path: [*table] for path, table in TABLE.items()} == found


def test_the_file_is_up_to_date() -> None:
    assert json.loads((DOCS / "openapi-datalake.json").read_text()) == describe()


def test_each_operation_has_a_summary_and_a_name_of_its_own() -> None:
    said = [one for table in describe()["paths"].values() for one in table.values()]
    assert all(one["summary"] for one in said)
    assert len({one["operationId"] for one in said}) == len(said)


@pytest.mark.parametrize(("path", "verb"), NEEDED)
def test_what_is_needed_is_demanded(path: str, verb: str, fetch: Callable[..., Any]) -> None:
    where = path.replace("{lake}", "none").replace("{id}", "0").strip("/").split("/")
    answer = fetch(
        "farlab", "datalake", *where, method=verb.upper(), body="{}", raise_error=False,
        allow_nonstandard_methods=True,
    )  # fmt: skip
    assert answer.code in (400, 404), answer.body


@pytest.fixture
def one_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell the server of a lake, for without one there are no transfers."""
    lake = {"name": "none", "stac": {"url": "http://127.0.0.1:1"}}
    monkeypatch.setenv("FARLAB_DATALAKE", json.dumps({"lakes": [lake]}))


def test_every_verb_is_authenticated(one_lake: None, fetch: Callable[..., Any]) -> None:
    for path, table in TABLE.items():
        for verb in table:
            where = path.replace("{lake}", "none").replace("{id}", "0").strip("/").split("/")
            answer = fetch(
                "farlab", "datalake", *where, method=verb.upper(), raise_error=False,
                headers={"Authorization": ""}, allow_nonstandard_methods=True,
                body=None if verb in ("get", "delete") else "{}",
            )  # fmt: skip
            assert answer.code == 403, (path, verb)
