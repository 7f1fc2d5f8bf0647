"""Many DIDs for a Rucio, put in by plain SQL: by its REST API a million would take an hour.

One file is registered as usual; its rows are then multiplied, so that whatever else Rucio keeps in
a row is there too. The new files are only registered: there are no bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import Connection, sql

from farlab_real.rucio_server import RunningRucio


def add_files(rucio: RunningRucio, scope: str, prefix: str, count: int, rse: str) -> None:
    """Register `count` files named prefix0000000, prefix0000001, ... at an RSE."""
    template = f"{prefix}template"
    replica = {"scope": scope, "name": template, "bytes": 1000, "adler32": "0a0b0c0d"}
    rucio.admin.register(rse, [replica])
    name = sql.SQL("{} || lpad(n::text, 7, '0')").format(prefix)
    with rucio.sql() as connection:
        for table in ("dids", "replicas"):
            where = {"scope": scope, "name": template}
            _multiply(connection, table, where, {"name": name}, count)
        connection.execute("ANALYZE")


def add_dataset(rucio: RunningRucio, scope: str, name: str, prefix: str, count: int) -> None:
    """Make a dataset of the files that `add_files` has made."""
    template = f"{prefix}template"
    rucio.admin.add_dataset(scope, name)
    rucio.admin.attach(scope, name, [(scope, template)])
    child = sql.SQL("{} || lpad(n::text, 7, '0')").format(prefix)
    with rucio.sql() as connection:
        where = {"scope": scope, "name": name, "child_name": template}
        _multiply(connection, "contents", where, {"child_name": child}, count)
        connection.execute("ANALYZE")


def _multiply(
    connection: Connection[Any],
    table: str,
    where: Mapping[str, str],
    changed: Mapping[str, sql.Composable],
    count: int,
) -> None:
    """Copy the row of a table that the condition names, with changed columns, so many times."""
    found = connection.execute(
        "SELECT column_name FROM information_schema.columns "
        "WHERE table_schema = 'rucio' AND table_name = %s",
        (table,),
    )
    columns = [str(row[0]) for row in found]
    values = [changed.get(column, sql.Identifier(column)) for column in columns]
    condition = sql.SQL(" AND ").join(
        sql.SQL("{} = {}").format(sql.Identifier(key), value) for key, value in where.items()
    )
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}, generate_series(0, {}) n WHERE {}").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, columns)),
            sql.SQL(", ").join(values),
            sql.Identifier(table),
            count - 1,
            condition,
        )
    )
