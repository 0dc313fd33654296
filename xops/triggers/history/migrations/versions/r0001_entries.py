"""Entries, documents and the outbox of events."""

import sqlalchemy as sql
from alembic import op

from xops.triggers.history.migrations.append_only import guard

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    op.create_table(
        "xops_trigger_documents",
        sql.Column("hash", sql.String(64), primary_key=True),
        sql.Column("kind", sql.String(10), nullable=False),
        sql.Column("body", sql.LargeBinary, nullable=False),
    )
    op.create_table(
        "xops_trigger_entries",
        sql.Column("sequence", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("trigger_name", sql.String(41), nullable=False),
        sql.Column("kind", sql.String(10), nullable=False),
        sql.Column("period", sql.String(10), nullable=False),
        sql.Column("revision", sql.Integer, nullable=False),
        sql.Column("hash", sql.String(64), nullable=False, unique=True),
        sql.Column("body", sql.Text, nullable=False),
        sql.UniqueConstraint("trigger_name", "kind", "period", "revision"),
    )
    op.create_table(
        "xops_trigger_outbox",
        sql.Column("id", sql.String(36), primary_key=True),
        sql.Column("sequence", sql.Integer, nullable=False),
        sql.Column("body", sql.Text, nullable=False),
        sql.Column("sent_at", sql.String(40)),
    )
    guard("xops_trigger_entries")
    guard("xops_trigger_documents")
