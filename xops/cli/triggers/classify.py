"""`xops triggers classify`: which paths are infrastructure code, and how often that is right."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xops.cli.console import AsJson, print_json, print_row, print_text, say
from xops.cli.inputs import readable_file, readable_folder
from xops.core.errors import Finding, InputError
from xops.triggers.policy import FILE, Policy

if TYPE_CHECKING:
    from xops.triggers.measure.classification import Classifier, Judgement
    from xops.triggers.measure.classification.labels import Agreement

_MOST_PATHS = 1_000_000


def classify(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="PATH...", help="Paths in a repository; - reads them from stdin."),
    ] = None,
    repository: Annotated[
        Path | None,
        typer.Option(
            "--repository",
            metavar="DIR",
            callback=readable_folder,
            help="A working copy: what a path leaves open is decided by content.",
        ),
    ] = None,
    policy: Annotated[
        Path,
        typer.Option(
            "--policy", callback=readable_file, help="Whose github.kinds and github.exclude count."
        ),
    ] = FILE,
    measure: Annotated[
        bool, typer.Option("--measure", help="Precision and recall on labelled paths.")
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            callback=readable_file,
            help="With --measure: a file of labels to measure on.",
        ),
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="With --measure: list each path that is judged wrong.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which paths are infrastructure code, and by which rule; or measure the rules."""
    _refuse_mixed(paths, repository, measure=measure, of_measuring=bool(labels) or errors)
    classifier = _classifier(policy)
    if measure:
        _measure(classifier, labels, with_errors=errors, as_json=as_json)
    else:
        _classify(classifier, list(_read_paths(paths or [])), repository, as_json=as_json)


def _refuse_mixed(
    paths: Sequence[str] | None, repository: Path | None, *, measure: bool, of_measuring: bool
) -> None:
    problem = ""
    if measure and (paths or repository):
        problem = "goes without paths and without --repository: labelled paths are measured"
    elif not measure and of_measuring:
        problem = "--labels and --errors go with --measure"
    elif not measure and not paths:
        problem = "give paths, or - to read them from stdin, or --measure"
    if problem:
        source = "argument --measure" if measure else "arguments"
        raise InputError("reading the arguments", [Finding(source, "", problem)])


def _classifier(file: Path) -> Classifier:
    from xops.triggers.measure.classification import Classifier

    github = Policy.load(file).github
    return Classifier(github.kinds, github.exclude) if github else Classifier()


def _read_paths(paths: Sequence[str]) -> Iterator[str]:
    for path in paths:
        if path == "-":
            yield from _from_stdin()
        else:
            yield path


def _from_stdin() -> Iterator[str]:
    # Git's paths are bytes: one that is not UTF-8 is judged by what can be read of it.
    for number, raw in enumerate(sys.stdin.buffer):
        line = raw.decode(errors="replace")
        if number >= _MOST_PATHS:
            text = f"has more than {_MOST_PATHS:,} lines"
            raise InputError("reading paths", [Finding("stdin", "", text)])
        if path := line.rstrip("\r\n"):
            yield path


def _classify(
    classifier: Classifier, paths: Sequence[str], repository: Path | None, *, as_json: bool
) -> None:
    judged = _judged(classifier, paths, repository)
    if as_json:
        found = [_path_json(path, judgement) for path, judgement in judged.items()]
        print_json({"digest": classifier.digest, "paths": found})
        return
    for path, judgement in judged.items():
        print_text(f"{_name(judgement):<20} {path}  ({_reason(judgement)})")


def _judged(
    classifier: Classifier, paths: Sequence[str], repository: Path | None
) -> Mapping[str, Judgement]:
    if repository is None:
        return {path: classifier.judge(path) for path in paths}
    from xops.triggers.measure.classification.working_copy import WorkingCopy

    tree = WorkingCopy(repository)
    # One by one, as nothing is saved by asking a local folder for many at once.
    return {path: classifier.settle([path], tree)[path] for path in paths}


def _name(judgement: Judgement) -> str:
    return judgement.kind or "-"


def _reason(judgement: Judgement) -> str:
    return judgement.why if judgement.certain else f"{judgement.why}; open without its content"


def _path_json(path: str, judgement: Judgement) -> dict[str, Any]:
    return {
        "path": path,
        "kind": judgement.kind,
        "excluded_as": judgement.group or None,
        "certain": judgement.certain,
        "why": judgement.why,
    }


def _measure(
    classifier: Classifier, file: Path | None, *, with_errors: bool, as_json: bool
) -> None:
    from xops.triggers.measure.classification import labels

    measured = labels.measure(classifier, labels.read(file or labels.FILE))
    if as_json:
        parts = [_agreement_json(agreement, with_errors=with_errors) for agreement in measured]
        print_json({"digest": classifier.digest, "parts": parts})
        return
    for agreement in measured:
        _print_agreement(agreement, with_errors=with_errors)


def _print_agreement(agreement: Agreement, *, with_errors: bool) -> None:
    say("[bold]{half}[/] by {by}", half=agreement.half or "all", by=agreement.by)
    print_row("precision", _share(agreement.precision))
    print_row("recall", _share(agreement.recall))
    counts = (
        f"{agreement.found} found, {agreement.missed} missed, {agreement.wrongly_found} wrongly"
        f" found, {agreement.neither} rightly left out"
    )
    print_row("paths", counts)
    for (labelled, judged), count in sorted(agreement.kinds.items()):
        if labelled != judged:
            print_row("kind", f"{count} of {labelled} taken for {judged}")
    if with_errors:
        print_text("\n".join(_mistakes(agreement)))


def _share(share: float | None) -> str:
    return "unknown: there is nothing to measure it on" if share is None else f"{share:.3f}"


def _mistakes(agreement: Agreement) -> Iterator[str]:
    for mistake in agreement.mistakes:
        label, judgement = mistake.label, mistake.judgement
        what = "missed" if label.infrastructure else "wrong "
        yield f"{what} {label.repository} {label.path}  ({_reason(judgement)})"


def _agreement_json(agreement: Agreement, *, with_errors: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "half": agreement.half,
        "by": agreement.by,
        "precision": agreement.precision,
        "recall": agreement.recall,
        "found": agreement.found,
        "missed": agreement.missed,
        "wrongly_found": agreement.wrongly_found,
        "neither": agreement.neither,
        "kinds": [
            {"labelled": labelled, "judged": judged, "paths": count}
            for (labelled, judged), count in sorted(agreement.kinds.items())
        ],
    }
    if with_errors:
        found["errors"] = [
            {"repository": m.label.repository, "label": m.label.infrastructure}
            | _path_json(m.label.path, m.judgement)
            for m in agreement.mistakes
        ]
    return found
