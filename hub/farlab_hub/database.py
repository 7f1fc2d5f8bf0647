"""The database: how it is opened, and brought to the tables of this version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event, inspect, make_url
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError

FIRST = "0001"
CONNECT_TIME = 10  # seconds for a database on another machine


def sqlite_url(folder: Path) -> str:
    """Return the address of the database in a state folder, which only its owner may read."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / "farlab.sqlite"
    # Made before SQLite does, because SQLite would follow the umask; its journal copies this mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    path.chmod(0o600)
    return f"sqlite:///{path}"


class DatabaseUrlError(ValueError):
    """An address of a database that can't be used; the message says what to do."""


def check_url(url: str) -> None:
    """Raise `DatabaseUrlError` unless this is the address of a database that can be used."""
    try:
        parsed = make_url(url)
        parsed.get_dialect().import_dbapi()
    except ImportError as error:
        msg = f"the database's driver is missing ({error.name}): pip install 'farlab[postgresql]'"
        raise DatabaseUrlError(msg) from error
    except ArgumentError as error:
        msg = "--db-url is no address of a database: write postgresql+psycopg://USER@HOST/DATABASE"
        raise DatabaseUrlError(msg) from error
    if parsed.password or "password" in parsed.query:
        msg = (
            "--db-url holds a password, which everyone on this host can read: put it into the file"
        )
        msg += " that PGPASSFILE names (https://www.postgresql.org/docs/current/libpq-pgpass.html)"
        raise DatabaseUrlError(msg)


def open_engine(url: str, *, synced: bool) -> Engine:
    """Return an engine; `synced` makes each transaction wait until the disk has it."""
    if not url.startswith("sqlite"):
        # A server that was restarted is found out before a statement fails.
        return create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": CONNECT_TIME}
        )
    engine = create_engine(url)

    def tune(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", f"synchronous={'FULL' if synced else 'NORMAL'}"):
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", tune)
    return engine


def migrate(engine: Engine) -> None:
    """Bring the tables to this version, keeping what is in them."""
    with engine.begin() as connection:
        config = config_for(connection)
        tables = inspect(connection).get_table_names()
        if "workloads" in tables and "alembic_version" not in tables:
            command.stamp(config, FIRST)
        command.upgrade(config, "head")


def config_for(connection: Connection) -> Config:
    """Return alembic's configuration for an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
