"""The usage ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NAME = sa.String(255)
SUMS = (
    "workloads",
    "failed",
    "wait_ms",
    "core_ms",
    "gpu_ms",
    "idle_gpu_ms",
    "cpu_ms",
    "known_core_ms",
    "mib_s",
    "measured_mwh",
    "estimated_mwh",
    "co2e_mg",
)
KEYS = {
    "usage_days": ("owner", "day", "vo", "site", "profile", "kind"),
    "usage_group_days": ("vo", "day", "site", "profile", "kind"),
    "usage_months": ("month", "vo", "site", "owner", "profile", "kind"),
}
KINDS: dict[str, Any] = {"day": sa.Integer(), "month": sa.Integer(), "kind": sa.String(16)}


def upgrade() -> None:
    """Make the records, their sums, and what was refused."""
    op.create_table(
        "usage_records",
        sa.Column("uid", sa.String(36), primary_key=True),
        sa.Column("owner", NAME, nullable=False),
        sa.Column("issuer_subject", sa.Text(), nullable=False),
        sa.Column("groups", sa.JSON(), nullable=False),
        *(sa.Column(name, NAME, nullable=False) for name in ("vo", "account", "site")),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("profile", NAME, nullable=False),
        sa.Column("image", sa.Text(), nullable=False),
        sa.Column("job_id", NAME, nullable=False),
        sa.Column("submitted", sa.Double(), nullable=False),
        sa.Column("started", sa.Double()),
        sa.Column("ended", sa.Double()),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("heartbeat", "cores", "gpus")),
        sa.Column("gpu_type", NAME, nullable=False),
        sa.Column("memory", sa.BigInteger(), nullable=False),
        sa.Column("cpu_s", sa.Double()),
        sa.Column("peak_memory", sa.BigInteger()),
        sa.Column("energy_kwh", sa.Double()),
        sa.Column("energy_source", sa.String(16), nullable=False),
        sa.Column("co2e_g", sa.Double()),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("exit_code", sa.BigInteger()),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("final", sa.Boolean(), nullable=False),
        sa.Column("walltime", sa.Double()),
    )
    op.create_index("usage_of_owner", "usage_records", ["owner", "ended", "uid"])
    op.create_index("usage_of_group", "usage_records", ["vo", "ended"])
    op.create_index("usage_by_end", "usage_records", ["ended", "uid"])
    for table, keys in KEYS.items():
        op.create_table(table, *_columns(keys), sqlite_with_rowid=False)
    op.create_table(
        "usage_rejects",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("time", sa.Double(), nullable=False),
        sa.Column("site", NAME, nullable=False),
        sa.Column("workload", sa.String(36), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
    )


def _columns(keys: tuple[str, ...]) -> Iterator[sa.Column[Any]]:
    for key in keys:
        yield sa.Column(key, KINDS.get(key, NAME), primary_key=True, autoincrement=False)
    for name in SUMS:
        yield sa.Column(name, sa.BigInteger(), nullable=False)
