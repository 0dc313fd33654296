"""`xops triggers verify`: whether anybody changed the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from xops.cli.console import AsJson, print_json, say
from xops.core.errors import ExitCode

if TYPE_CHECKING:
    from xops.triggers.history.verification import HistoryVerification


def verify(as_json: AsJson = False) -> None:
    """Check that nobody changed the history: every hash, and the chain of all entries.

    Exit code 10: something was changed. 11: it is empty, so that nothing was checked.
    """
    from xops.triggers.history import verification
    from xops.triggers.history.ledger import History

    found = verification.verify(History.open())
    if as_json:
        print_json({**found.model_dump(mode="json"), "state": _state(found)})
    else:
        for problem in found.problems:
            say("[bold red]changed[/] {problem}", problem=problem)
        counts = f"{found.entries} entries, {found.documents} documents"
        say("{counts}: {state}", counts=counts, state=_state(found))
    if found.problems:
        raise typer.Exit(ExitCode.FINDINGS)
    if not found.entries:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _state(found: HistoryVerification) -> str:
    if found.problems:
        return "changed"
    # That of another XOPS_HOME, or of a database that was made anew, must not look whole.
    return "whole" if found.entries else "empty, nothing was checked"
