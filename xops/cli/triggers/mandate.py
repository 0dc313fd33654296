"""`xops triggers mandate`: write down that something is demanded, and see whether it counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, print_row, say, styled
from xops.cli.inputs import parse_day
from xops.cli.triggers.options import PolicyFile, today
from xops.core.errors import ExitCode, Finding, InputError, PermanentError
from xops.core.files.settings import display
from xops.core.rendering import Terminal
from xops.triggers.policy import FILE, Mandates, Policy

if TYPE_CHECKING:
    from pydantic import ValidationError

    from xops.triggers.facts import Mandate
    from xops.triggers.measure.mandates import Judgement

app = typer.Typer(help="Declare mandates: second clouds and sites that somebody demands.")

_OPTIONS = {
    "cloud": "--cloud",
    "site": "--site",
    "who": "--who",
    "what": "--what",
    "jurisdiction": "--jurisdiction",
    "evidence": "--evidence",
    "effective_from": "--from",
    "expires": "--until",
}
_CODES = (
    f"Exit codes: {ExitCode.DONE} all records count in their time, or there are none,"
    f" {ExitCode.FINDINGS} one does not, {ExitCode.INCOMPLETE} nobody can tell; else as for every"
    " command."
)
_LONGEST_NAME = 80


@app.command()
def draft(
    who: Annotated[str, typer.Option("--who", help="Who demands it.")],
    what: Annotated[str, typer.Option("--what", help="What is demanded, in a sentence.")],
    jurisdiction: Annotated[
        str, typer.Option("--jurisdiction", help="Whose law or contract it is: AU, EU, ...")
    ],
    evidence: Annotated[
        str, typer.Option("--evidence", metavar="URL", help="Link to the document itself.")
    ],
    since: Annotated[
        str, typer.Option("--from", metavar="DATE", help="The first day on which it binds.")
    ],
    until: Annotated[
        str,
        typer.Option("--until", metavar="DATE", help="The first day on which it no longer binds."),
    ],
    cloud: Annotated[
        str | None, typer.Option("--cloud", help="The second cloud: azure or gcp.")
    ] = None,
    site: Annotated[
        str | None, typer.Option("--site", metavar="NAME", help="Instead of a cloud: the site.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="NAME", help="Its name in the folder.")
    ] = None,
    policy: PolicyFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Write a record to the folder of mandates, to be committed by an owner."""
    from xops.triggers.measure import mandate_record

    rules = Policy.load(policy).mandates
    values = {
        "who": who, "what": what, "jurisdiction": jurisdiction, "evidence": evidence,
        "effective_from": parse_day("--from", since), "expires": parse_day("--until", until),
        "cloud": cloud, "site": site,
    }  # fmt: skip
    text = _text({name: value for name, value in values.items() if value is not None})
    written = rules.folder / _name(file, who, cloud or site or "")
    mandate_record.write_draft(written, text)
    if as_json:
        print_json({"file": display(written), "next": list(_next_steps(written, rules))})
        return
    print_row("wrote", display(written))
    for step in _next_steps(written, rules):
        print_row("next", step)


def _text(values: dict[str, object]) -> str:
    from pydantic import ValidationError

    from xops.triggers.measure import mandate_record

    try:
        return mandate_record.draft(values)
    except ValidationError as error:
        raise InputError("drafting a mandate", list(_findings(error))) from None


def _findings(error: ValidationError) -> Iterator[Finding]:
    for row in error.errors(include_url=False):
        option = next((_OPTIONS[str(part)] for part in row["loc"] if str(part) in _OPTIONS), "")
        source = f"argument {option}" if option else "arguments --cloud and --site"
        yield Finding(source, "", row["msg"].removeprefix("Value error, "))


def _name(given: str | None, who: str, subject: str) -> str:
    if given is None:
        plain = "".join(char if char.isascii() and char.isalnum() else " " for char in who.lower())
        words = "-".join([*plain.split(), *subject.lower().split()])[:_LONGEST_NAME]
        name = "".join(char for char in words if char.isalnum() or char == "-").strip("-")
        return f"{name or 'mandate'}.yaml"
    if Path(given).name != given or not given.endswith((".yaml", ".yml")):
        found = f"{given!r} is no name of a file like example-bank-azure.yaml"
        raise InputError("drafting a mandate", [Finding("argument --file", "", found)])
    return given


def _next_steps(file: Path, rules: Mandates) -> Iterator[str]:
    signed = " -S" if rules.signed else ""
    who = ", ".join(rules.owners)
    yield f"read {display(file)}, and hold it against the evidence"
    if who:
        yield f"let an owner commit it with `git commit{signed}`: {who}"
    else:
        yield "name who may declare in mandates.owners of the policy; then one of them commits it"
    yield "see whether it counts: `xops triggers mandate check`"


@app.command(epilog=_CODES)
def check(
    files: Annotated[
        list[str] | None,  # names, not paths to read: one may be of a record that was deleted
        typer.Argument(metavar="[FILE...]", help="Only these records of the folder."),
    ] = None,
    policy: PolicyFile = FILE,
    as_json: AsJson = False,
) -> None:
    """Say of each record whether it counts today, and if not, why and what to do."""
    from xops.triggers.measure import mandates

    rules = Policy.load(policy)
    names = _names([Path(file) for file in files or []], rules.mandates.folder)
    try:
        found = _only(mandates.judge(rules.mandates), names)
    except PermanentError as error:
        if as_json:
            print_json({**_header(rules), "unknown": error.to_json(), "records": []})
        else:
            say("[bold yellow]unknown[/] {error}", error=Terminal.lines(str(error)))
        raise typer.Exit(ExitCode.INCOMPLETE) from None
    rows = list(_rows(found, today(rules)))
    if as_json:
        print_json({**_header(rules), "unknown": None, "records": rows})
    else:
        _print(rows, rules.mandates)
    if any(row["status"] == "does not count" for row in rows):
        raise typer.Exit(ExitCode.FINDINGS)


def _header(rules: Policy) -> dict[str, Any]:
    given = rules.mandates
    return {
        "folder": display(given.folder),
        "as_of": today(rules),
        "owners": list(given.owners),
        "signed": given.signed,
    }


def _names(files: Sequence[Path], folder: Path) -> set[str]:
    """The names of files in the folder.

    Raises:
        InputError: one is elsewhere, where no record counts.
    """
    elsewhere = [
        Finding("argument FILE", "", f"{file} is not in {display(folder)}: only there it counts")
        for file in files
        if file.absolute().parent.resolve() != folder.resolve()
    ]
    if elsewhere:
        raise InputError("checking mandates", elsewhere)
    return {file.name for file in files}


def _only(found: Judgement, names: set[str]) -> Judgement:
    from xops.triggers.measure.mandates import Judgement

    if not names:
        return found
    records = tuple(one for one in found.records if one.mandate.file in names)
    findings = tuple(one for one in found.findings if Path(one.source).name in names)
    known = {one.mandate.file for one in records} | {Path(one.source).name for one in findings}
    if unknown := sorted(names - known):
        missing = [
            Finding("argument FILE", "", f"{name} holds no record, and no owner ever declared one")
            for name in unknown
        ]
        raise InputError("checking mandates", missing)
    return Judgement(records, findings)


def _rows(found: Judgement, day: date) -> Iterator[dict[str, Any]]:
    for one in found.records:
        mandate = one.mandate
        yield {
            **mandate.model_dump(mode="json"),
            "status": _status(mandate, day),
            "remedy": one.remedy,
        }
    for finding in found.findings:
        yield {
            "file": Path(finding.source).name,
            "status": "does not count",
            "valid": False,
            "reason": str(finding),
            "remedy": "Correct it. Until then all mandates are unknown, and their triggers freeze.",
        }


def _status(mandate: Mandate, day: date) -> str:
    if mandate.expires <= day:
        return "is over"
    if not mandate.valid:
        return "does not count"
    return "counts" if mandate.in_force(day) else "will count"


def _print(rows: Iterable[dict[str, Any]], rules: Mandates) -> None:
    rows = list(rows)
    if not rows:
        say("{folder} holds no record", folder=display(rules.folder))
    for row in rows:
        wrong = row["status"] == "does not count"
        status = styled("bold red" if wrong else "bold", row["status"])
        say("{file} {status}", file=row["file"], status=status)
        if "who" in row:
            span = f"{row['effective_from']} up to, not including, {row['expires']}"
            say("  {subject} for {who}: {span}", subject=row["subject"], who=row["who"], span=span)
        if row["reason"]:
            say("  why: {reason}", reason=row["reason"])
        if row["remedy"]:
            say("  do:  {remedy}", remedy=row["remedy"])
