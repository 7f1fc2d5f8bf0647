"""The database: migrations, and the same life on PostgreSQL as on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from farlab_hub.database import (
    DatabaseUrlError,
    check_url,
    config_for,
    migrate,
    open_engine,
    sqlite_url,
)
from farlab_hub.models import Change
from farlab_hub.states import State
from farlab_hub.store import Store
from farlab_hub.tables import Base
from farlab_hub.vault import Vault
from farlab_real.postgres import RunningPostgres
from sqlalchemy import text
from sqlalchemy.engine import Engine

FIRST_ROW = """
insert into workloads values (
    '123e4567-e89b-42d3-a456-426614174000', 'alice', '', 'server', 'cloud', 'gpu', null, 'ready',
    '', '', '7', 'node1', 'http://127.0.0.1:5000', '{"8888": 5000}', 'x',
    '{"metadata": {}, "spec": {"containers": [{"name": "notebook"}]}}', 1.0, 2.0, null, null, '',
    null, 'agent', 1, true, false, 3
)
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[RunningPostgres]:
    with RunningPostgres() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path, postgres: RunningPostgres) -> str:
    """Return the address of an empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    engine = open_engine(postgres.url, synced=False)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()
    return postgres.url


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = open_engine(url, synced=False)
    yield engine
    engine.dispose()


def test_an_empty_database_gets_the_tables_of_the_models(engine):
    migrate(engine)
    migrate(engine)  # again changes nothing
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, Base.metadata) == []


async def test_what_the_first_service_wrote_is_still_there(engine, url, tmp_path):
    with engine.begin() as connection:
        command.upgrade(config_for(connection), "0001")
        connection.execute(text(FIRST_ROW))
        connection.execute(text("drop table alembic_version"))  # it made its tables without
    store = Store(url, Vault(tmp_path / "submissions"), Vault(tmp_path / "keys"))
    await store.open()
    (workload,) = await store.find()
    assert (workload.owner, workload.state, workload.listeners) == ("alice", "ready", {8888: 5000})
    assert (workload.name, workload.options) == ("", {})
    await store.close()


async def test_whatever_a_site_says_can_be_written(engine, url, tmp_path):
    with engine.begin() as connection:
        command.upgrade(config_for(connection), "0001")
        connection.execute(text(FIRST_ROW))
    store = Store(url, Vault(tmp_path / "submissions"), Vault(tmp_path / "keys"))
    await store.open()
    (workload,) = await store.find()
    odd = "a\0b \udc80 \U0001f600 " + "x" * 100_000
    said = Change(reason=odd, message=odd, node=odd, job_id=odd, log_tail=odd)
    changed = await store.change(workload.uid, said)
    assert changed is not None
    assert changed.reason.startswith("ab ? \U0001f600 x")
    assert (len(changed.node), len(changed.job_id)) == (255, 255)
    assert await store.change(workload.uid, said) is None  # it is nothing new
    await store.close()


async def test_a_workloads_life_on_postgresql(place: Any, postgres: RunningPostgres, url: str):
    place.database = url
    running = await place.start()
    kernel = {"kind": "kernel", "site": "cloud", "name": "mine"}
    status, created = await running.api.call("POST", "workloads", token="alice", json=kernel)
    assert status == 201, created
    uid = created["uid"]
    await running.api.state(uid, "queued")
    place.sites["cloud"].run(uid)
    await running.api.state(uid, "starting")
    await place.stop()
    running = await place.start()
    found = (await running.api.call("GET", f"workloads/{uid}", token="alice"))[1]
    assert (found["state"], found["node"]) == ("starting", "node7")
    assert found["key"]
    assert [event["seq"] for event in found["events"]] == [*range(1, found["seq"] + 1)]
    status, ended = await running.api.call("DELETE", f"workloads/{uid}", token="alice")
    assert (status, ended["state"]) == (200, "cancelled")


async def test_a_database_that_goes_away_is_waited_for(place: Any, postgres: RunningPostgres):
    place.database = postgres.url
    running = await place.start()
    uid = await place.submitted()
    await asyncio.to_thread(postgres.kill)
    status, answer = await running.api.call("GET", f"workloads/{uid}")
    assert (status, answer["code"]) == (503, "no-database")
    place.sites["cloud"].run(uid)
    await asyncio.to_thread(postgres.start)
    assert (await running.api.state(uid, "starting"))["state"] == State.STARTING


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://farlab:secret@db/farlab", "PGPASSFILE"),
        ("postgresql+psycopg://db/farlab?password=secret", "PGPASSFILE"),
        ("mysql+pymysql://db/farlab", "driver is missing"),
        ("db.example.org", "no address of a database"),
    ],
)
def test_an_address_that_cannot_be_used_says_why(url, words):
    with pytest.raises(DatabaseUrlError, match=words) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)
