"""What commands share that look at costs which were spent: the store, the evidence, options."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import print_row, say, styled
from xops.cli.inputs import parse_day, readable_folder
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.ecs.environment import Environment
    from xops.finops.analysis.anomalies import PlannedChange
    from xops.finops.analysis.queries import CostTable
    from xops.finops.analysis.series import CostRow, Days

HISTORY_DAYS = 180
"""So many days are looked at to say what is usual."""

CURRENCY = "USD"
_LISTED = 15

EnvironmentName = Annotated[
    str | None,
    typer.Option(
        "--environment", "-e", help="One of deployments/environments/*.yaml. Default: all."
    ),
]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="FOLDER",
        callback=readable_folder,
        help="Where `xops costs ingest` keeps costs. Default: costs in xOps' home.",
    ),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="As if it were that day. Default: today in UTC."),
]
WithBucket = Annotated[
    bool,
    typer.Option("--with-bucket", help="Also ask AWS for changes whose evidence is in a bucket."),
]


@dataclass(frozen=True)
class Spent:
    """The costs before a day, as far as they are known.

    Attributes:
        as_of: the day before which they were spent.
        days: which are known, in UTC: that is what months of invoices are of.
        rows: what was used on each of them.
        labels: what kinds of numbers they are: actual, estimated, sample.
        others: currencies that are left out.
    """

    as_of: date
    costs: CostTable
    days: Days
    rows: Sequence[CostRow]
    labels: Sequence[str]
    others: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """What an answer rests on, for machines."""
        return {
            "as_of": str(self.as_of),
            "label": "+".join(self.labels) or None,
            "currency": CURRENCY,
            "other_currencies": list(self.others),
            "from": str(self.days.period.start) if self.days.delivered else None,
            "missing": [str(day) for day in self.days.missing],
            "provisional": [str(day) for day in self.days.provisional],
        }

    def of(self, environment: str | None) -> list[CostRow]:
        """The rows of one environment; None: all."""
        return [row for row in self.rows if environment in (None, row.environment)]

    def why_unknown(self, environment: str | None) -> str:
        """Why there is no answer about an environment, or about all; empty where there is one."""
        if self.of(environment):
            return ""
        if environment is None or not self.days.delivered:
            before = f"the {HISTORY_DAYS} days before {self.as_of}"
            if self.others:
                return f"charges of {before} are in {', '.join(self.others)}, none in {CURRENCY}"
            return f"no costs of {before} are there: `xops costs ingest` takes costs in"
        return f"no costs name {environment}: is its tag activated, or its account configured?"


def parse_today(as_of: str | None) -> date:
    """The day before which costs count.

    Raises:
        InputError: it is no day.
    """
    return parse_day("--as-of", as_of) if as_of else datetime.now(UTC).date()


@contextmanager
def open_spent(folder: Path | None, today: date) -> Iterator[Spent]:
    """Open the store and read what was used in the months before a day.

    Raises:
        InputError: the configuration or a manifest is wrong.
        PermanentError: files of the store are gone.
    """
    from xops.finops.configuration import CostConfiguration
    from xops.finops.store.cost_store import CostStore
    from xops.finops.store.engine import open_engine

    # An invoice's months and days are of UTC.
    configuration = CostConfiguration.load().model_copy(update={"timezone": "UTC"})
    store = CostStore.open(folder)
    with tempfile.TemporaryDirectory(prefix="xops-costs-") as spill, store.reading():
        engine = open_engine(spill=Path(spill))
        try:
            yield _read(store, engine, configuration, today)
        finally:
            engine.disconnect()


def _read(store: Any, engine: Any, configuration: Any, today: date) -> Spent:
    from xops.finops.analysis import queries
    from xops.finops.analysis.periods import Period

    period = Period.ending(today, HISTORY_DAYS)
    months = [
        month
        for month in store.months()
        if Period.month(date.fromisoformat(f"{month}-01")).overlaps(period)
    ]
    table = store.table(engine, months, CURRENCY)
    costs = queries.CostTable.configured(table, configuration)
    return Spent(
        today,
        costs,
        queries.known_days(costs, period),
        queries.usage_rows(costs, period),
        sorted({str(partition.label) for partition in store.partitions(months)}),
        [currency for currency in store.currencies(months) if currency != CURRENCY],
    )


def print_basis(spent: Spent) -> None:
    """What kind of numbers follow, and what is not in them; nothing where there are none."""
    if not spent.days.delivered:
        return
    label: object = " and ".join(spent.labels)
    if "sample" in spent.labels:
        label = styled("yellow", f"{label} data: made up, nobody was billed for them")
    say(
        "{row} {label}; {currency} without tax, {period}, days in UTC",
        row=f"{'Costs:':<13}",
        label=label,
        currency=CURRENCY,
        period=spent.days.period,
    )
    if spent.days.missing:
        print_row("missing", f"{_listed(spent.days.missing)}: nobody knows what they cost")
    print_row("provisional", f"{spent.days.provisional}: more is to come")
    if spent.others:
        print_row("left out", f"charges in {', '.join(spent.others)}")


def _listed(days: Sequence[date]) -> str:
    shown = ", ".join(map(str, days[:_LISTED]))
    left = len(days) - _LISTED
    return f"{shown} and {left} more" if left > 0 else shown


def load_environment(name: str | None) -> Environment | None:
    """The environment of that name, if one is given.

    Raises:
        InputError: no file has it. A name that is wrong would find nothing, without a word.
    """
    from xops.ecs.environment import Environment

    return None if name is None else Environment.load(name)


def environments(names: Iterable[str | None]) -> dict[str, Environment]:
    """Those of the names that have a file."""
    from xops.ecs.environment import FOLDER, Environment

    found = sorted({name for name in names if name is not None})
    known = {file.stem for file in FOLDER.glob("*.yaml")}
    return {name: Environment.load(name) for name in found if name in known}


def read_changes(
    names: Iterable[str | None], as_of: date, *, with_bucket: bool
) -> list[PlannedChange]:
    """What was changed on purpose in these environments, by their evidence.

    Args:
        names: of environments.
        as_of: the day before which it happened.
        with_bucket: whether AWS is asked for evidence that is kept in a bucket.

    Raises:
        XopsError: the evidence cannot be read.
    """
    oldest = datetime.combine(as_of, datetime.min.time(), UTC) - timedelta(days=HISTORY_DAYS)
    return [
        change
        for environment in environments(names).values()
        for change in _changes(environment, oldest, with_bucket=with_bucket)
    ]


def unread_evidence(names: Iterable[str | None], *, with_bucket: bool) -> list[str]:
    """The environments whose changes are not known, as their evidence is in a bucket."""
    from xops.core.evidence.settings import FolderEvidence

    if with_bucket:
        return []
    found = environments(names)
    return [name for name, one in found.items() if not isinstance(one.evidence, FolderEvidence)]


def print_unread(names: Sequence[str]) -> None:
    """Whose changes are not known."""
    if names:
        print_row("changes", f"unknown of {', '.join(names)}: --with-bucket reads their evidence")


def _changes(
    environment: Environment, oldest: datetime, *, with_bucket: bool
) -> list[PlannedChange]:
    from xops.cli.evidence import open_environment_log
    from xops.core.evidence.settings import FolderEvidence
    from xops.finops.analysis.anomalies import CHANGES, planned_changes

    if not with_bucket and not isinstance(environment.evidence, FolderEvidence):
        return []
    records = open_environment_log(environment).newest_first(*CHANGES)
    return planned_changes(environment.name, records, oldest)


def print_changes(changes: Iterable[PlannedChange]) -> None:
    """Changes of ours, below what they explain."""
    for change in changes:
        say(
            "      changed on {day}: plan {digest}, {who}",
            day=change.period.start,
            digest=change.digest[:12],
            who=f"approved by {change.who}" if change.who else "without an approval",
        )


def money(amount: Decimal | None) -> str:
    """An amount for people."""
    return "unknown" if amount is None else f"{amount:z,.2f}"


def signed(amount: Decimal | None) -> str:
    """A difference for people."""
    return "unknown" if amount is None else f"{amount:+z,.2f}"


def exit_by(*, findings: bool, incomplete: bool) -> None:
    """End a command: what is found is found, whatever is missing besides.

    Raises:
        typer.Exit: FINDINGS or INCOMPLETE, where one is so.
    """
    if findings:
        raise typer.Exit(ExitCode.FINDINGS)
    if incomplete:
        raise typer.Exit(ExitCode.INCOMPLETE)
