"""The history's own id."""

from uuid import uuid4

import sqlalchemy as sql
from alembic import op

from xops.triggers.history.migrations.append_only import guard

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make its table, and draw one."""
    table = op.create_table(
        "xops_trigger_history", sql.Column("id", sql.String(36), primary_key=True)
    )
    op.bulk_insert(table, [{"id": str(uuid4())}])
    guard("xops_trigger_history")
