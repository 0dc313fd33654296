"""Who holds which environment, and which plan was shown: kept across runs, in the inbox's database.

One pull request at a time concerns an environment, from its plan until it is merged or closed: the
plan of a second one would take back what the first has applied. Every use is one transaction that
excludes all others, so that of two that come at once one is told of the other.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sql
from sqlalchemy.engine import Connection, Row

from xops.core.database.exclusive import Database
from xops.core.database.moments import Moment
from xops.core.plan.cost import CostEffect
from xops.github.pull_request.facts import Holder, ShownPlan

# The inbox, whose tables these are, stands above this package.
_locks = sql.table(
    "xops_github_environment_locks",
    sql.column("subject", sql.Text),
    sql.column("repository", sql.Text),
    sql.column("number", sql.Integer),
    sql.column("head_sha", sql.Text),
    sql.column("since", Moment),
)
_shown = sql.table(
    "xops_github_shown_plans",
    sql.column("repository", sql.Text),
    sql.column("number", sql.Integer),
    sql.column("subject", sql.Text),
    sql.column("head_sha", sql.Text),
    sql.column("base_sha", sql.Text),
    sql.column("digest", sql.Text),
    sql.column("shown_at", Moment),
    sql.column("comment_id", sql.BigInteger),
    sql.column("applied_at", Moment),
    sql.column("cost", sql.Text),
)


class Locks:
    """Locks of environments; repositories in any case, as GitHub takes them.

    Args:
        database: of the inbox.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def take(
        self, subject: str, repository: str, number: int, head_sha: str, now: datetime
    ) -> Holder | None:
        """Take a lock, or keep it with the head as it is now; who else holds it, and then it stays.

        Raises:
            TemporaryError: the database does not answer.
        """
        wanted = Holder(subject, repository.lower(), number, head_sha, now)

        def work(connection: Connection) -> Holder | None:
            found = _holder(connection, subject)
            if found is None:
                connection.execute(_locks.insert().values(vars(wanted)))
            elif not _is_same(found, wanted):
                return found
            else:
                row = _locks.update().where(_locks.c.subject == subject)
                connection.execute(row.values(head_sha=head_sha))
            return None

        return self._database.transact(work)

    def keep(self, repository: str, number: int, subjects: Collection[str] = ()) -> tuple[str, ...]:
        """Release all that a pull request holds but these; what was released."""

        def work(connection: Connection) -> tuple[str, ...]:
            held = [each for each in _held(connection) if _is_of(each, repository, number)]
            released = tuple(each.subject for each in held if each.subject not in subjects)
            connection.execute(_locks.delete().where(_locks.c.subject.in_(released)))
            return released

        return self._database.transact(work)

    def release_from(self, subject: str, repository: str, number: int) -> bool:
        """Release a lock of a pull request that was found to be closed; False: another holds it."""

        def work(connection: Connection) -> bool:
            found = _holder(connection, subject)
            if found is None or not _is_of(found, repository, number):
                return False
            connection.execute(_locks.delete().where(_locks.c.subject == subject))
            return True

        return self._database.transact(work)

    def release(self, subject: str) -> Holder | None:
        """Release a lock whoever holds it, as an approver asks for; who held it."""

        def work(connection: Connection) -> Holder | None:
            found = _holder(connection, subject)
            connection.execute(_locks.delete().where(_locks.c.subject == subject))
            return found

        return self._database.transact(work)

    def held(self) -> tuple[Holder, ...]:
        """All locks, by subject."""
        return self._database.transact(_held)


def _holder(connection: Connection, subject: str) -> Holder | None:
    found = connection.execute(sql.select(_locks).where(_locks.c.subject == subject)).first()
    return Holder(**found._mapping) if found else None


def _held(connection: Connection) -> tuple[Holder, ...]:
    rows = connection.execute(sql.select(_locks).order_by(_locks.c.subject))
    return tuple(Holder(**row._mapping) for row in rows)


def _is_same(one: Holder, other: Holder) -> bool:
    return (one.repository, one.number) == (other.repository, other.number)


def _is_of(holder: Holder, repository: str, number: int) -> bool:
    return (holder.repository, holder.number) == (repository.lower(), number)


class ShownPlans:
    """What people were shown on each pull request; repositories in any case.

    Args:
        database: of the inbox.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def show(self, plan: ShownPlan) -> ShownPlan:
        """Note that a plan is shown; as it is kept.

        The same digest of the same head is shown since the first time, unless it has become dearer
        than the budget allows: who approved of it then has seen another one. When a plan of this
        pull request was applied last is kept.
        """
        plan = _lowered(plan)

        def work(connection: Connection) -> ShownPlan:
            found = _find(connection, plan.repository, plan.number, plan.subject)
            kept = _as_kept(plan, found)
            if found is None:
                connection.execute(_shown.insert().values(_values(kept)))
            else:
                connection.execute(_at(kept).values(_values(kept)))
            return kept

        return self._database.transact(work)

    def find(self, repository: str, number: int, subject: str) -> ShownPlan | None:
        """What is known of one environment; None: nothing of it was ever shown there."""
        return self._database.transact(
            lambda connection: _find(connection, repository.lower(), number, subject)
        )

    def of(self, repository: str, number: int) -> tuple[ShownPlan, ...]:
        """What is known of all environments of a pull request, by subject."""
        wanted = sql.select(_shown).where(_is_on(repository, number)).order_by(_shown.c.subject)
        return self._database.transact(
            lambda connection: tuple(map(_plan, connection.execute(wanted)))
        )

    def settle(
        self, repository: str, number: int, subject: str, applied_at: datetime | None = None
    ) -> None:
        """Nothing of what was shown waits any more: no approval of it is used again.

        Args:
            repository, number, subject: whose.
            applied_at: when it was applied; None: there is nothing left to apply.
        """

        def work(connection: Connection) -> None:
            found = _find(connection, repository.lower(), number, subject)
            if found is not None:
                at = applied_at or found.applied_at
                connection.execute(_at(found).values(digest="", applied_at=at))

        self._database.transact(work)

    def forget(self, repository: str, number: int) -> None:
        """Forget a pull request, which is closed and told about."""
        row = _shown.delete().where(_is_on(repository, number))
        self._database.transact(lambda connection: connection.execute(row) and None)


def _as_kept(plan: ShownPlan, found: ShownPlan | None) -> ShownPlan:
    if found is None:
        return plan
    is_same = (found.head_sha, found.digest) == (plan.head_sha, plan.digest)
    is_dearer = plan.cost is not None and plan.cost.why_uncovered(found.cost) is not None
    applied_at = plan.applied_at or found.applied_at
    if not is_same or is_dearer:
        return replace(plan, applied_at=applied_at)
    return replace(plan, applied_at=applied_at, shown_at=found.shown_at, cost=found.cost)


def _lowered(plan: ShownPlan) -> ShownPlan:
    return replace(plan, repository=plan.repository.lower())


def _values(plan: ShownPlan) -> dict[str, Any]:
    return {**vars(plan), "cost": plan.cost.model_dump_json() if plan.cost else None}


def _plan(row: Row[Any]) -> ShownPlan:
    values = dict(row._mapping)
    cost = values.pop("cost")
    return ShownPlan(**values, cost=CostEffect.model_validate_json(cost) if cost else None)


def _find(connection: Connection, repository: str, number: int, subject: str) -> ShownPlan | None:
    wanted = sql.select(_shown).where(_is_on(repository, number), _shown.c.subject == subject)
    found = connection.execute(wanted).first()
    return _plan(found) if found else None


def _is_on(repository: str, number: int) -> sql.ColumnElement[bool]:
    return sql.and_(_shown.c.repository == repository.lower(), _shown.c.number == number)


def _at(plan: ShownPlan) -> sql.Update:
    is_there = _is_on(plan.repository, plan.number)
    return _shown.update().where(is_there, _shown.c.subject == plan.subject)
