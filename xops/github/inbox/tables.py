"""What is kept of GitHub in a database: deliveries, their flow runs, events; locks of environments.

The revisions in `migrations/versions` make these tables; a test compares the two.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sql

from xops.core.database.moments import Moment
from xops.core.database.tables import Tables
from xops.core.outbox import outbox_table

_metadata = sql.MetaData()

deliveries = sql.Table(
    "xops_github_deliveries",
    _metadata,
    sql.Column("id", sql.Text, primary_key=True),
    sql.Column("event", sql.Text, nullable=False),
    sql.Column("action", sql.Text, nullable=False),
    sql.Column("repository", sql.Text, nullable=False),
    sql.Column("state", sql.String(10), nullable=False),
    sql.Column("reason", sql.Text, nullable=False),
    sql.Column("attempts", sql.Integer, nullable=False),
    sql.Column("replays", sql.Integer, nullable=False),
    sql.Column("received_at", Moment, nullable=False),
    sql.Column("next_attempt_at", Moment),
    sql.Column("updated_at", Moment, nullable=False),
    sql.Column("delivery", sql.Text, nullable=False),
)
"""One row for each delivery. `delivery` is all that is kept of it, as JSON; `event`, `action` and
`repository` repeat what people search for."""

_waiting = deliveries.c.state == sql.literal_column("'received'")
sql.Index(
    "xops_github_deliveries_waiting",
    deliveries.c.received_at,
    deliveries.c.id,
    sqlite_where=_waiting,
    postgresql_where=_waiting,
)
sql.Index("xops_github_deliveries_latest", deliveries.c.state, deliveries.c.received_at)
sql.Index("xops_github_deliveries_received", deliveries.c.received_at)

runs = sql.Table(
    "xops_github_runs",
    _metadata,
    sql.Column(
        "delivery", sql.Text, sql.ForeignKey(deliveries.c.id, ondelete="CASCADE"), primary_key=True
    ),
    sql.Column("deployment", sql.Text, primary_key=True),
    sql.Column("replay", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("run", sql.Text, nullable=False),
)
"""The flow runs that a delivery led to. `replay` is how often it had been replayed by then."""

events = outbox_table("xops_github_events", _metadata)
"""Events for Prefect that wait to be emitted."""
sql.Index("xops_github_events_sequence", events.c.sequence)
_unsent = events.c.sent_at.is_(None)
sql.Index(
    "xops_github_events_waiting",
    events.c.sequence,
    events.c.id,
    sqlite_where=_unsent,
    postgresql_where=_unsent,
)

cursors = sql.Table(
    "xops_github_cursors",
    _metadata,
    sql.Column("name", sql.Text, primary_key=True),
    sql.Column("value", sql.Text, nullable=False),
)
"""How far somebody who reads a list has come."""

environment_locks = sql.Table(
    "xops_github_environment_locks",
    _metadata,
    sql.Column("subject", sql.Text, primary_key=True),
    sql.Column("repository", sql.Text, nullable=False),
    sql.Column("number", sql.Integer, nullable=False),
    sql.Column("head_sha", sql.String(64), nullable=False),
    sql.Column("since", Moment, nullable=False),
)
"""Which pull request holds an environment ("ecs/test"). One row at most for each of these."""

shown_plans = sql.Table(
    "xops_github_shown_plans",
    _metadata,
    sql.Column("repository", sql.Text, primary_key=True),
    sql.Column("number", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("subject", sql.Text, primary_key=True),
    sql.Column("head_sha", sql.String(64), nullable=False),
    sql.Column("digest", sql.String(64), nullable=False),
    sql.Column("base_sha", sql.String(64), nullable=False),
    sql.Column("shown_at", Moment, nullable=False),
    sql.Column("comment_id", sql.BigInteger),
    sql.Column("applied_at", Moment),
    sql.Column("cost", sql.Text),
)
"""The plan of each environment that a pull request's comment shows, its cost effect as JSON, and
when one of that pull request was applied last."""

team_members = sql.Table(
    "xops_github_team_members",
    _metadata,
    sql.Column("team", sql.Text, primary_key=True),
    sql.Column("logins", sql.JSON, nullable=False),
    sql.Column("read_at", Moment, nullable=False),
)
"""Who is in a team ("organisation/slug"): a JSON list of logins, and when it was read."""

TABLES = Tables(
    "github", _metadata, Path(__file__).parent / "migrations" / "versions", many_writers=True
)
