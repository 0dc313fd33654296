"""Whether exports of cost are what FOCUS says they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xops.cli.console import AsJson, print_json, say, styled
from xops.cli.inputs import readable_file, readable_files
from xops.core.errors import ExitCode, Finding, InputError

if TYPE_CHECKING:
    from xops.finops.focus.columns import Version
    from xops.finops.focus.outcome import Checked, Validation
    from xops.finops.focus.requirement import Criterion
    from xops.finops.focus.validation import Case


def validate(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            callback=readable_files,
            help="Exports in FOCUS: parquet, CSV or gzip CSV. Several are one dataset.",
        ),
    ],
    version: Annotated[
        str | None,
        typer.Option("--version", help="1.0, 1.1 or 1.2. Default: that of the columns."),
    ] = None,
    profile: Annotated[
        str, typer.Option("--profile", help="What is supported: aws, all or usage-only.")
    ] = "aws",
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="What is not supported besides, such as tagging. Repeat."),
    ] = None,
    invoices: Annotated[
        Path | None,
        typer.Option(
            "--invoices", callback=readable_file, help="CSV of id,total: what invoices come to."
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Count the known gaps of providers as violations.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="A column, or a rule such as Tags.format. Repeat."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold exports of cost against the rules of FOCUS, and what must add up in them.

    Exit code 10: a rule is violated. 11: none is, and one that applies could not be run.
    """
    from xops.finops.focus.validation import validate as hold

    case = _case(files, version, profile, without or [], invoices)
    found = hold(replace(case, waive=not strict, only=frozenset(only or [])))
    if as_json:
        print_json({**found.to_json(), "profile": profile})
    else:
        _print(found, profile)
    if found.violated:
        raise typer.Exit(ExitCode.FINDINGS)
    if found.not_run:
        raise typer.Exit(ExitCode.INCOMPLETE)


def _case(
    files: list[Path],
    version: str | None,
    profile: str,
    without: list[str],
    invoices: Path | None,
) -> Case:
    from xops.finops.focus.invoices import read_invoices
    from xops.finops.focus.validation import Case

    return Case(
        files,
        _version(version),
        _unsupported(profile, without),
        None if invoices is None else read_invoices(invoices),
    )


def _version(text: str | None) -> Version | None:
    from xops.finops.focus.columns import Version

    if text is None:
        return None
    if text not in list(Version):
        raise _wrong("--version", text, list(Version))
    return Version(text)


def _unsupported(profile: str, without: list[str]) -> frozenset[Criterion]:
    from xops.finops.focus.applicability import profiles
    from xops.finops.focus.requirement import Criterion

    if profile not in profiles():
        raise _wrong("--profile", profile, list(profiles()))
    for one in without:
        if one not in list(Criterion):
            raise _wrong("--without", one, list(Criterion))
    return profiles()[profile].without | {Criterion(one) for one in without}


def _wrong(option: str, value: str, known: list[str]) -> InputError:
    problem = f"{value!r} is none of {', '.join(known)}"
    return InputError(f"reading {option}", [Finding(f"argument {option}", "", problem)])


def _print(found: Validation, profile: str) -> None:
    guessed = ", by its columns" if found.guessed else ""
    say(
        "{rows} rows in {files}, FOCUS {version}{guessed}, profile {profile}",
        rows=f"{found.rows:,}",
        files=", ".join(found.files),
        version=found.version,
        guessed=guessed,
        profile=profile,
    )
    say("{verdict}, score {score}", verdict=_verdict(found), score=_percent(found.score))
    _print_columns(found)
    _print_rules("Violated", found.violated)
    _print_rules("Waived: the provider says itself that its exports lack it", found.waived)
    _print_rules("Advice", found.advice)
    _print_not_run(found.not_run)


def _verdict(found: Validation) -> object:
    if found.violated:
        return styled("red", f"violates {_number(len(found.violated), 'rules')}")
    if found.not_run:
        return styled("yellow", f"unknown: {_number(len(found.not_run), 'rules')} not run")
    return styled("green", "conforms")


def _print_columns(found: Validation) -> None:
    failing = {name: score for name, score in found.scores().items() if score not in {None, 1.0}}
    if failing:
        say("")
        say("[bold]Columns that keep to less than all of their rules[/]")
    for name, score in failing.items():
        say("  {name} {score}", name=f"{name:<34}", score=_percent(score))


def _print_rules(title: str, checked: list[Checked]) -> None:
    if not checked:
        return
    say("")
    say("[bold]{title}[/]", title=title)
    for one in checked:
        say("  {rule}: {text}", rule=one.rule.id, text=one.rule.text)
        say("    {detail}", detail=_detail(one))


def _print_not_run(checked: list[Checked]) -> None:
    reasons = dict.fromkeys(one.why for one in checked)
    for why in reasons:
        names = [one.rule.id for one in checked if one.why == why]
        say("")
        say("[bold]Not run, since {why}[/]: {count}", why=why, count=_number(len(names), "rules"))
        say("  {names}", names=", ".join(names))


def _detail(one: Checked) -> str:
    if one.why:
        return one.why
    counts = _number(one.violations, one.unit) if one.violations else ""
    waived = f"{_number(one.waived, one.unit)} waived" if one.waived else ""
    count = " and ".join(filter(None, (counts, waived)))
    reasons = "; ".join(
        f"{waiver.provider}: {waiver.reason}, {waiver.source}" for waiver in one.waivers
    )
    return "; ".join(filter(None, (f"{count}, first {one.first}", reasons)))


def _number(count: int, unit: str) -> str:
    return f"{count:,} {unit.removesuffix('s') if count == 1 else unit}"


def _percent(score: float | None) -> str:
    return "unknown" if score is None else f"{100 * score:.1f} %"
