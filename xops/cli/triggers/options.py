"""What several commands on triggers take, and the facts they judge."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from xops.cli.inputs import parse_day, readable_file
from xops.core.errors import Finding, InputError
from xops.triggers.facts import Facts
from xops.triggers.policy import Policy, Trigger
from xops.triggers.report.failure import as_error

FactsFile = Annotated[
    Path | None,
    typer.Option("--facts", callback=readable_file, help="A facts file instead of GitHub."),
]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="DATE", help="Default: the day of the facts, or today."),
]
PolicyFile = Annotated[
    Path,
    typer.Option("--policy", callback=readable_file, help="Instead of deployments/triggers.yaml."),
]
TriggerName = Annotated[str, typer.Argument(metavar="TRIGGER", help="A name in the policy.")]


def day_given(as_of: str | None) -> date | None:
    """The day that `--as-of` names, if it is given.

    Raises:
        InputError: it is no date.
    """
    return None if as_of is None else parse_day("--as-of", as_of)


def today(policy: Policy) -> date:
    """The day that it is in the policy's zone."""
    return datetime.now(ZoneInfo(policy.timezone)).date()


def read_facts(policy: Policy, file: Path | None, as_of: str | None) -> tuple[Facts, date]:
    """The facts of a file or of GitHub, and the day they are judged on.

    Raises:
        InputError: the day, the file, a mandate or the credential is wrong.
        PermanentError, TemporaryError: GitHub gives none.
    """
    day = day_given(as_of)
    if file is not None:
        from xops.triggers.measure import mandates

        facts = mandates.from_facts_file(Facts.load(file), policy.mandates)
        return facts, day or facts.as_of
    from xops.triggers.measure import collect

    day = day or today(policy)
    facts = collect.read(policy, day)
    if facts.failure:
        raise as_error(facts.failure)
    return facts, day


def trigger_named(policy: Policy, name: str) -> Trigger:
    """The policy's trigger of that name.

    Raises:
        InputError: there is none.
    """
    trigger = policy.triggers.get(name)
    if trigger is None:
        found = f"no trigger {name!r}; there are: {', '.join(policy.triggers)}"
        raise InputError("explaining", [Finding("argument trigger", "", found)])
    return trigger
