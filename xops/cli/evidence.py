"""`xops evidence`: the records of what was done, read back."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, print_text, say
from xops.cli.inputs import parse_day, writable_file_in_new_folder
from xops.core.errors import ExitCode, Finding, InputError

if TYPE_CHECKING:
    from xops.core.evidence.log import EvidenceLog, Record
    from xops.ecs.environment import Environment

app = typer.Typer()

Subject = Annotated[str, typer.Argument(metavar="SUBJECT", help="ecs/ENVIRONMENT or k3s/CLUSTER.")]
_MOST = 50


def _open_log(subject: str) -> EvidenceLog:
    """The records about a subject, in the store that its file names."""
    step, _, name = subject.partition("/")
    if step == "ecs" and name:
        from xops.ecs.environment import Environment

        return open_environment_log(Environment.load(name))
    if step == "k3s" and name:
        from xops.k3s.cluster_file.cluster import Cluster
        from xops.k3s.operations.bootstrap import open_log as open_cluster_log

        return open_cluster_log(Cluster.load(name))
    message = f"{subject!r} is neither ecs/ENVIRONMENT nor k3s/CLUSTER"
    raise InputError("reading the subject", [Finding("argument SUBJECT", "", message)])


def open_environment_log(environment: Environment) -> EvidenceLog:
    """The records about an environment, read as this machine reaches its target."""
    from xops.aws.access import ENDPOINT_VARIABLE, Aws
    from xops.aws.target import Target
    from xops.ecs.stream1 import open_log
    from xops.local.stack import stack as local_stack

    environ = dict(os.environ)
    if environment.target is Target.EMBEDDED:
        environ.setdefault(ENDPOINT_VARIABLE, local_stack().aws_endpoint)
    return open_log(environment, Aws(environment.target, environment.region, environ))


@app.command(name="list")
def list_records(
    subject: Subject,
    kind: Annotated[
        str | None, typer.Option("--kind", help="plan, question, approval, intent, apply, ...")
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="A day like 2026-03-16.")] = None,
    last: Annotated[int, typer.Option("--last", min=1, help="How many at most.")] = _MOST,
    as_json: AsJson = False,
) -> None:
    """List records, the newest first, with what is still open."""
    log = _open_log(subject)
    day = parse_day("--since", since) if since else None
    from_then = datetime.combine(day, time.min, UTC) if day else None
    records = islice(_selected(log, _kind(kind), from_then), last)
    rows = [_row(log, record) for record in records]
    opened = [record.id for record in log.find_open()]
    if as_json:
        print_json({"subject": subject, "records": rows, "open": opened})
        return
    for row in rows:
        say(
            "{number:>5} {at} {kind:<9} {digest} {status}{open}",
            number=row["number"] or "-",
            at=row["recorded_at"][:19],
            kind=row["kind"],
            digest=row["digest"][:12],
            status=row["status"] or "",
            open=" (open)" if row["id"] in opened else "",
        )


def _kind(text: str | None) -> tuple[Any, ...]:
    from xops.core.evidence.log import RecordKind

    if text is None:
        return ()
    if text not in set(RecordKind):
        message = f"{text!r} is none of {', '.join(RecordKind)}"
        raise InputError("reading --kind", [Finding("argument --kind", "", message)])
    return (RecordKind(text),)


def _selected(log: EvidenceLog, kinds: tuple[Any, ...], since: datetime | None) -> Iterator[Record]:
    for record in log.newest_first(*kinds):
        if since and record.recorded_at < since:
            return
        yield record


def _row(log: EvidenceLog, record: Record) -> dict[str, Any]:
    return {
        "number": record.sequence,
        "id": record.id,
        "kind": record.kind,
        "recorded_at": record.body["recorded_at"],
        "digest": record.digest,
        "status": record.body.get("status"),
        "who": record.body.get("who"),
        "address": log.address(record),
    }


@app.command()
def show(
    subject: Subject,
    number: Annotated[
        int | None, typer.Argument(min=1, help="As `list` shows it; the newest by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one record whole."""
    log = _open_log(subject)
    record = _find(log, number)
    if as_json:
        print_json(dict(record.body))
    else:
        print_text(json.dumps(record.body, indent=2, sort_keys=True))


def _find(log: EvidenceLog, number: int | None) -> Record:
    for record in log.newest_first():
        if number in (None, record.sequence):
            return record
    wanted = "has no record yet" if number is None else f"has no record {number}"
    finding = Finding("argument NUMBER", "", f"{log.subject} {wanted}")
    raise InputError("looking for a record", [finding])


@app.command()
def verify(subject: Subject, as_json: AsJson = False) -> None:
    """Check that no record was changed or taken away, and that everything begun has ended.

    Exit code 10 if something is wrong.
    """
    from xops.core.evidence.log import verify_chain

    log = _open_log(subject)
    faults = [{"key": fault.key, "found": fault.found} for fault in verify_chain(log)]
    for record in log.find_open():
        if record.kind == "intent":
            found = "an apply began, and how it ended is not known"
            faults.append({"key": log.address(record), "found": found})
    if as_json:
        print_json({"subject": subject, "records": len(log.list_keys()), "faults": faults})
    else:
        for fault in faults:
            say("[bold red]fault[/] {key}: {found}", key=fault["key"], found=fault["found"])
        if not faults:
            say(
                "[bold green]{count} records, each as it was written.[/]",
                count=len(log.list_keys()),
            )
    if faults:
        raise typer.Exit(ExitCode.FINDINGS)


@app.command()
def export(
    subject: Subject,
    file: Annotated[
        Path,
        typer.Option(
            "-o", "--output", callback=writable_file_in_new_folder, help="One record a line (JSON)."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Write all records into one file, oldest first, with their hashes."""
    log = _open_log(subject)
    count = 0
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as output:
        for key in log.list_keys():
            record = log.read(key)
            line = {"key": key, "sha256": record.sha256, "record": dict(record.body)}
            output.write(json.dumps(line, sort_keys=True) + "\n")
            count += 1
    if as_json:
        print_json({"subject": subject, "records": count, "file": str(file)})
    else:
        say("{count} records of {subject} are in {file}.", count=count, subject=subject, file=file)
