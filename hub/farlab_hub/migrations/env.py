"""What alembic runs to migrate: the service hands it an open connection."""

from __future__ import annotations

from alembic import context
from farlab_hub.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,  # SQLite can't alter a column in place
)
with context.begin_transaction():
    context.run_migrations()
