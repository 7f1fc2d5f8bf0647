"""What a workload is called, and what was chosen for it: for those that users start."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both to the workloads that are there."""
    name = sa.Column("name", sa.String(100), nullable=False, server_default="")
    op.add_column("workloads", name)
    options = sa.Column("options", sa.JSON(), nullable=False, server_default="{}")
    op.add_column("workloads", options)
