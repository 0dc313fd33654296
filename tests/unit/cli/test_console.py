"""Questions, and how a command that only plans ends."""

import pytest
import typer

from xops.cli.console import exit_if_changes, question_asked
from xops.core.errors import ExitCode
from xops.core.plan.model import Action, Change, Plan

CHANGE = Change(action=Action.CREATE, target="a", reason="missing")


def test_a_plan_with_changes_is_a_finding() -> None:
    with pytest.raises(typer.Exit) as ended:
        exit_if_changes(Plan(subject="ecs/test", target="embedded", changes=(CHANGE,)))
    assert ended.value.exit_code == ExitCode.FINDINGS


def test_a_plan_without_changes_ends_nothing() -> None:
    exit_if_changes(Plan(subject="ecs/test", target="embedded"))


def answer(cause: type[BaseException]) -> None:
    """As Typer's questions end."""
    try:
        raise cause
    except cause:
        raise typer.Abort from None


def test_ctrl_c_at_a_question_is_an_interruption() -> None:
    with pytest.raises(typer.Exit) as ended, question_asked():
        answer(KeyboardInterrupt)
    assert ended.value.exit_code == ExitCode.INTERRUPTED


def test_a_question_that_nobody_hears_is_none() -> None:
    with pytest.raises(typer.Abort), question_asked():
        answer(EOFError)
