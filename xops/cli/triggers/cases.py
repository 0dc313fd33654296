"""`xops triggers test`: cases that a policy must meet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xops.cli.console import AsJson, print_json, say
from xops.cli.inputs import readable_file
from xops.core.errors import ExitCode
from xops.core.rendering import Terminal
from xops.triggers.policy import FILE, Policy


def run_cases(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", callback=readable_file, help="Cases: series in, states out."
        ),
    ],
    policy: Annotated[
        Path | None,
        typer.Option("--policy", callback=readable_file, help="Instead of the one the file names."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run a file of cases against a policy; exit code 10 if a case fails."""
    from xops.triggers import rule_tests

    cases = rule_tests.RuleTests.load(file)
    result = rule_tests.run(Policy.load(policy or cases.policy or FILE), cases)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        for mismatch in result.mismatches:
            say("[bold red]failed[/] {mismatch}", mismatch=Terminal.lines(str(mismatch)))
        say("{held} of {cases} cases hold", held=result.cases - result.failed, cases=result.cases)
    if result.failed:
        raise typer.Exit(ExitCode.FINDINGS)
