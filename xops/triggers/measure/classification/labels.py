"""Paths that people have labelled, and how well the rules agree with them.

The set that xOps brings has two halves, split by repository: on `learn` rules may be written, on
`held_out` they may not. A row has facts only: where the file is from, what it was judged to be, the
keys of its content that tell, and the marker files above it.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from xops.core.errors import Finding, InputError
from xops.core.files.reading import UnusableTextError, read_bytes
from xops.triggers.measure.classification.classifier import Classifier
from xops.triggers.measure.classification.kinds import Judgement

FILE: Final = Path(__file__).with_name("labelled_paths.csv")

NO_KIND: Final = "none"
"""How a file of labels and a table of kinds name what is no infrastructure code."""

_MOST_BYTES = 32 << 20
_YES = frozenset({"yes", "true", "1", "infrastructure", "iac"})
_NO = frozenset({"no", "false", "0", "", NO_KIND, "other"})


@dataclass(frozen=True, slots=True)
class Label:
    """One labelled path.

    Attributes:
        path: as Git writes it.
        infrastructure: whether it is infrastructure code.
        kind: which, or "" if the file of labels does not say.
        half: `learn` or `held_out`, or any other name of a part; "" if the file has no parts.
        repository: owner/name.
        content: lines of its content that tell; None: the file of labels does not say.
        above: marker files above it.
    """

    path: str
    infrastructure: bool
    kind: str = ""
    half: str = ""
    repository: str = ""
    content: str | None = None
    above: tuple[str, ...] = ()

    def texts(self, paths: Sequence[str]) -> Mapping[str, str | None]:
        """The tree that the facts of this label make: the file itself and the markers above."""
        there = {**dict.fromkeys(self.above, ""), self.path: self.content or ""}
        return {path: there.get(path) for path in paths}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A path on which rules and label do not agree."""

    label: Label
    judgement: Judgement


@dataclass(slots=True)
class Agreement:
    """How the rules judge one part of the labels.

    Attributes:
        half: which part.
        by: `path`, or `content`: with the facts of content and markers.
        right, found, wrongly_found, missed: numbers of paths; `found` are infrastructure code by
            label and by rules, `wrongly_found` by rules only, `missed` by label only.
        kinds: (labelled kind, found kind) to the number of paths.
    """

    half: str
    by: str
    found: int = 0
    wrongly_found: int = 0
    missed: int = 0
    neither: int = 0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def precision(self) -> float | None:
        """Of what the rules found, how much is right; None: they found nothing."""
        return _share(self.found, self.wrongly_found)

    @property
    def recall(self) -> float | None:
        """Of what there is, how much the rules found; None: there is nothing."""
        return _share(self.found, self.missed)

    def add(self, label: Label, judgement: Judgement) -> None:
        """Count one path."""
        says = judgement.kind is not None
        self.kinds[label.kind or _unnamed(label), judgement.kind or NO_KIND] += 1
        if says != label.infrastructure:
            self.mistakes.append(Mistake(label, judgement))
        self.found += says and label.infrastructure
        self.wrongly_found += says and not label.infrastructure
        self.missed += label.infrastructure and not says
        self.neither += not says and not label.infrastructure


def _share(right: int, wrong: int) -> float | None:
    return right / (right + wrong) if right + wrong else None


def _unnamed(label: Label) -> str:
    return "any" if label.infrastructure else NO_KIND


def measure(classifier: Classifier, labels: Sequence[Label]) -> list[Agreement]:
    """How the rules agree with labels: each part by path alone, and with content if it is known."""
    found: dict[tuple[str, str], Agreement] = {}
    for label in labels:
        _add(found, label, "path", classifier.judge(label.path))
        if label.content is not None:
            by_content = classifier.settle([label.path], label)[label.path]
            _add(found, label, "content", by_content)
    return list(found.values())


def _add(
    found: dict[tuple[str, str], Agreement], label: Label, by: str, judgement: Judgement
) -> None:
    key = (label.half, by)
    found.setdefault(key, Agreement(*key)).add(label, judgement)


def read(file: Path = FILE) -> list[Label]:
    """The labels of a file of comma-separated values with a header.

    Columns: `path`, and `label` (yes, no) or `kind`; others are optional: `kind`, `half`,
    `repository`, `commit`, `content` (lines, with ` | ` between them), `above` (marker files, with
    spaces between them).

    Raises:
        InputError: it cannot be read, a column is missing, or a row has no path or no label.
    """
    attempted = f"reading the labelled paths {file}"
    try:
        text = read_bytes(file, _MOST_BYTES).decode("utf-8-sig")
    except (UnusableTextError, UnicodeDecodeError) as error:
        raise InputError(attempted, [Finding(str(file), "", str(error))]) from error
    findings: list[Finding] = []
    labels = list(_labels(text, str(file), findings))
    if not labels and not findings:
        findings.append(Finding(str(file), "", "has no rows"))
    if findings:
        raise InputError(attempted, findings)
    return labels


def _labels(text: str, file: str, findings: list[Finding]) -> Iterator[Label]:
    rows = csv.DictReader(io.StringIO(text, newline=""))
    columns = set(rows.fieldnames or ())
    if "path" not in columns or not columns & {"label", "kind"}:
        findings.append(Finding(file, "", "needs the columns path, and label or kind", 1))
        return
    try:
        for row in rows:
            label = _label(row, with_label="label" in columns)
            if isinstance(label, Label):
                yield label
            else:
                findings.append(Finding(file, "", label, rows.line_num))
    except csv.Error as error:
        findings.append(Finding(file, "", f"is no table: {error}", rows.line_num))


def _label(row: Mapping[str, str | None], *, with_label: bool) -> Label | str:
    """One row, or what is wrong with it."""
    path, kind = row.get("path") or "", (row.get("kind") or "").strip()
    kind = "" if kind.lower() in _NO else kind
    said = (row.get("label") or "").strip().lower() if with_label else ("yes" if kind else "no")
    if not path:
        return "has no path"
    if not said or said not in _YES | _NO:
        return f"label {said!r} is neither yes nor no"
    return Label(
        path=path,
        infrastructure=said in _YES,
        kind=kind,
        half=row.get("half") or "",
        repository=row.get("repository") or "",
        content=_lines(row.get("content")),
        above=tuple((row.get("above") or "").split()),
    )


def _lines(content: str | None) -> str | None:
    return None if content is None else content.replace(" | ", "\n")
