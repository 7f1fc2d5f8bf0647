"""The database: how it is opened, and brought to the tables of this version."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, event, inspect
from sqlalchemy.engine import Connection, Engine

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
        config = _config(connection)
        tables = inspect(connection).get_table_names()
        if "workloads" in tables and "alembic_version" not in tables:
            command.stamp(config, FIRST)
        command.upgrade(config, "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
