"""One run of the ingest: exports one after the other, and what all of it cost."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from xops.aws.access import Aws
from xops.core.errors import ExitCode, Finding, InputError, XopsError
from xops.core.files import settings
from xops.finops.configuration import COST_EXPLORER, CostConfiguration, Export
from xops.finops.store.changes import Ingested, MonthChange
from xops.finops.store.cost_explorer.call_budget import CallBudget
from xops.finops.store.cost_explorer.explorer import CostExplorer
from xops.finops.store.cost_store import CostStore
from xops.finops.store.exports.staging import Told, tell_nobody
from xops.finops.store.sources import Bucket, Folder, Source

COST_EXPLORER_REGION = "us-east-1"
_S3 = "s3://"
_NOT_OF_A_NAME = re.compile(r"[^a-z0-9]+")
_LONGEST_NAME = 40


@dataclass(frozen=True)
class IngestRun:
    """What a run did.

    Attributes:
        store: its folder.
        ingested: what was taken in.
        errors: the exports that were not, each with why.
        requests: to Cost Explorer.
        usd: what these cost; what S3 asks for its requests is below a cent a month.
        most_usd: what they might have cost.
    """

    store: Path
    ingested: tuple[Ingested, ...]
    errors: tuple[tuple[str, XopsError], ...] = ()
    requests: int = 0
    usd: Decimal = Decimal(0)
    most_usd: Decimal = Decimal(0)

    @classmethod
    def joined(cls, store: Path, runs: Sequence[IngestRun]) -> IngestRun:
        """Several as one."""
        return cls(
            store,
            tuple(one for run in runs for one in run.ingested),
            tuple(one for run in runs for one in run.errors),
            sum(run.requests for run in runs),
            sum((run.usd for run in runs), Decimal(0)),
            sum((run.most_usd for run in runs), Decimal(0)),
        )

    def raise_if_incomplete(self) -> None:
        """Raise the first of the errors, if there is one.

        Raises:
            XopsError: an export could not be taken in.
        """
        if self.errors:
            raise self.errors[0][1]

    @property
    def restated(self) -> tuple[MonthChange, ...]:
        """Months that were over and come to something else now."""
        return tuple(change for one in self.ingested for change in one.restated)

    @property
    def exit_code(self) -> ExitCode:
        """What the run found."""
        if self.errors:
            return ExitCode.INCOMPLETE
        return ExitCode.FINDINGS if self.restated else ExitCode.DONE

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return {
            "store": str(self.store),
            "exports": [one.to_json() for one in self.ingested],
            "errors": [{"export": name} | error.to_json() for name, error in self.errors],
            "restated": [change.month for change in self.restated],
            "cost": {
                "cost_explorer_requests": self.requests,
                "usd": str(self.usd),
                "most_usd": str(self.most_usd),
            },
        }


def exports_of(
    configuration: CostConfiguration, location: str | None, name: str | None
) -> Sequence[Export]:
    """The exports that are meant: those of the file, or the one that is named.

    Args:
        location: of an export; None: those that the file names.
        name: under which its charges are kept; None: as the file says, or else by its place.

    Raises:
        InputError: the file names none, or the location or the name is none.
    """
    if location is None:
        if not configuration.exports:
            found = Finding("deployments/costs.yaml", "exports", "names no export")
            raise InputError(
                "looking for exports of costs",
                [found],
                "Name one there, or give one: `xops costs ingest --from FOLDER`.",
            )
        return configuration.exports
    known = {export.location.rstrip("/"): export.name for export in configuration.exports}
    chosen = name or known.get(location.rstrip("/")) or _name_of(location)
    try:
        return (Export(name=chosen, location=location),)
    except ValueError:
        message = f"{location!r} and the name {chosen!r} are no folder or s3://BUCKET/PREFIX, and"
        found = Finding("argument --from", "", f"{message} no name of small letters and digits")
        raise InputError("reading --from", [found]) from None


def _name_of(location: str) -> str:
    last = location.rstrip("/").rpartition("/")[2] or "export"
    name = _NOT_OF_A_NAME.sub("-", last.lower())[:_LONGEST_NAME].strip("-")
    return name or "export"


def open_source(
    export: Export,
    configuration: CostConfiguration,
    folder_of: Callable[[str], Path],
    environ: Mapping[str, str],
) -> Source:
    """Where an export lies.

    Args:
        folder_of: the folder that a location without `s3://` names.

    Raises:
        InputError: it is no folder that may be read.
        CredentialsError: AWS has none for it.
    """
    if not export.location.startswith(_S3):
        return Folder(folder_of(export.location))
    bucket, _, prefix = export.location.removeprefix(_S3).partition("/")
    aws = Aws(configuration.target, configuration.region, environ, follows_endpoints=True)
    return Bucket(aws.client("s3"), bucket, prefix)


def any_folder(location: str) -> Path:
    """The folder that a person names: from the project's, if it is not absolute."""
    return settings.ROOT / Path(location).expanduser()


@dataclass(frozen=True)
class Ingest:
    """How to take exports in.

    Attributes:
        folder_of: the folder that a location names; a flow allows only some.
    """

    configuration: CostConfiguration
    store: CostStore
    folder_of: Callable[[str], Path] = any_folder
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    @cached_property
    def budget(self) -> CallBudget:
        """What asking Cost Explorer may cost: one for the run, however often a task is retried."""
        return CallBudget(self.configuration.cost_explorer.most_usd_a_run)

    def take_in(
        self, exports: Sequence[Export], *, now: datetime, told: Told = tell_nobody
    ) -> IngestRun:
        """Take exports in, one after the other: one that cannot be is no hindrance to the next.

        Raises:
            XopsError: there is only one, and it cannot be taken in.
        """
        done: list[Ingested] = []
        errors: list[tuple[str, XopsError]] = []
        for export in exports:
            try:
                done.append(self._take_in(export, now, told))
            except XopsError as error:
                if len(exports) == 1:
                    raise
                errors.append((export.name, error))
        return IngestRun(self.store.folder, tuple(done), tuple(errors))

    def _take_in(self, export: Export, now: datetime, told: Told) -> Ingested:
        chosen, tags = self.configuration, self.configuration.tags
        return self.store.ingest(
            open_source(export, chosen, self.folder_of, self.environ),
            export.name,
            now=now,
            told=told,
            apart=chosen.currencies == "apart",
            tags=(tags.environment, tags.service, tags.owner),
        )

    def ask_cost_explorer(
        self, *, now: datetime, months: int = 2, told: Told = tell_nobody
    ) -> IngestRun:
        """Take in what Cost Explorer knows of the latest billing periods.

        Raises:
            XopsError: as `CostExplorer.ingest`.
        """
        aws = Aws(self.configuration.target, COST_EXPLORER_REGION, self.environ)
        account, _ = aws.identity()
        explorer = CostExplorer(
            aws.client("ce"), account, self.store, self.budget, self.configuration.tags.environment
        )
        return self._asked((explorer.ingest(now=now, months=months, told=told),))

    def unanswered(self, error: XopsError) -> IngestRun:
        """What a run did whose question to Cost Explorer has no answer; it may have cost some."""
        return self._asked((), ((COST_EXPLORER, error),))

    def _asked(
        self, ingested: tuple[Ingested, ...], errors: tuple[tuple[str, XopsError], ...] = ()
    ) -> IngestRun:
        spent = self.budget
        store = self.store.folder
        return IngestRun(store, ingested, errors, spent.sent, spent.usd, spent.most_usd)
