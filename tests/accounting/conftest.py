"""Ledgers on both kinds of database, and the hub's application as the tests of `hub` run it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from farlab_hub.database import migrate, open_engine, sqlite_url
from farlab_hub.ledger.ledger import Ledger
from farlab_hub.store import Store
from farlab_hub.vault import Vault
from farlab_real.postgres import RunningPostgres
from sqlalchemy import text
from sqlalchemy.engine import Engine


def _hub_fixtures() -> Any:
    """Return the fixtures of the tests of the hub service."""
    path = Path(__file__).parents[1] / "hub" / "conftest.py"
    spec = importlib.util.spec_from_file_location("farlab_hub_fixtures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


_hub = _hub_fixtures()
place, running, until = _hub.place, _hub.running, _hub.until


@pytest.fixture(scope="session")
def ledger_postgres() -> Iterator[RunningPostgres]:
    with RunningPostgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(
    request: pytest.FixtureRequest, tmp_path: Path, ledger_postgres: RunningPostgres
) -> str:
    """Return the address of an empty database of each kind."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    engine = open_engine(ledger_postgres.url, synced=False)
    with engine.begin() as connection:
        connection.execute(text("drop schema public cascade"))
        connection.execute(text("create schema public"))
    engine.dispose()
    return ledger_postgres.url


@pytest.fixture
def engine(ledger_url: str) -> Iterator[Engine]:
    engine = open_engine(ledger_url, synced=False)
    migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
async def ledger(ledger_url: str, tmp_path: Path) -> AsyncIterator[Ledger]:
    store = Store(ledger_url, Vault(tmp_path / "submissions"), Vault(tmp_path / "keys"))
    await store.open()
    yield Ledger(store)
    await store.close()
