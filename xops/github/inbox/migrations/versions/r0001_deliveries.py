"""Deliveries, their runs and events, cursors, locks, shown plans, team members."""

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None

MOMENT = sql.DateTime(timezone=True)


def upgrade() -> None:
    """Make them."""
    _create_deliveries()
    _create_events()
    _create_tables_of_pull_requests()


def _create_deliveries() -> None:
    op.create_table(
        "xops_github_deliveries",
        sql.Column("id", sql.Text, primary_key=True),
        sql.Column("event", sql.Text, nullable=False),
        sql.Column("action", sql.Text, nullable=False),
        sql.Column("repository", sql.Text, nullable=False),
        sql.Column("state", sql.String(10), nullable=False),
        sql.Column("reason", sql.Text, nullable=False),
        sql.Column("attempts", sql.Integer, nullable=False),
        sql.Column("replays", sql.Integer, nullable=False),
        sql.Column("received_at", MOMENT, nullable=False),
        sql.Column("next_attempt_at", MOMENT),
        sql.Column("updated_at", MOMENT, nullable=False),
        sql.Column("delivery", sql.Text, nullable=False),
    )
    waiting = sql.text("state = 'received'")
    op.create_index(
        "xops_github_deliveries_waiting", "xops_github_deliveries", ["received_at", "id"],
        sqlite_where=waiting, postgresql_where=waiting,
    )  # fmt: skip
    op.create_index(
        "xops_github_deliveries_latest", "xops_github_deliveries", ["state", "received_at"]
    )
    op.create_index("xops_github_deliveries_received", "xops_github_deliveries", ["received_at"])
    op.create_table(
        "xops_github_runs",
        sql.Column(
            "delivery", sql.Text,
            sql.ForeignKey("xops_github_deliveries.id", ondelete="CASCADE"), primary_key=True,
        ),
        sql.Column("deployment", sql.Text, primary_key=True),
        sql.Column("replay", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("run", sql.Text, nullable=False),
    )  # fmt: skip


def _create_events() -> None:
    op.create_table(
        "xops_github_events",
        sql.Column("id", sql.String(36), primary_key=True),
        sql.Column("sequence", sql.Integer, nullable=False),
        sql.Column("body", sql.Text, nullable=False),
        sql.Column("sent_at", sql.String(40)),
    )
    unsent = sql.text("sent_at IS NULL")
    op.create_index("xops_github_events_sequence", "xops_github_events", ["sequence"])
    op.create_index(
        "xops_github_events_waiting", "xops_github_events", ["sequence", "id"],
        sqlite_where=unsent, postgresql_where=unsent,
    )  # fmt: skip
    op.create_table(
        "xops_github_cursors",
        sql.Column("name", sql.Text, primary_key=True),
        sql.Column("value", sql.Text, nullable=False),
    )


def _create_tables_of_pull_requests() -> None:
    op.create_table(
        "xops_github_environment_locks",
        sql.Column("subject", sql.Text, primary_key=True),
        sql.Column("repository", sql.Text, nullable=False),
        sql.Column("number", sql.Integer, nullable=False),
        sql.Column("head_sha", sql.String(64), nullable=False),
        sql.Column("since", MOMENT, nullable=False),
    )
    op.create_table(
        "xops_github_shown_plans",
        sql.Column("repository", sql.Text, primary_key=True),
        sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("subject", sql.Text, primary_key=True),
        sql.Column("head_sha", sql.String(64), nullable=False),
        sql.Column("digest", sql.String(64), nullable=False),
        sql.Column("base_sha", sql.String(64), nullable=False),
        sql.Column("shown_at", MOMENT, nullable=False),
        sql.Column("comment_id", sql.BigInteger),
        sql.Column("applied_at", MOMENT),
        sql.Column("cost", sql.Text),
    )
    op.create_table(
        "xops_github_team_members",
        sql.Column("team", sql.Text, primary_key=True),
        sql.Column("logins", sql.JSON, nullable=False),
        sql.Column("read_at", MOMENT, nullable=False),
    )
