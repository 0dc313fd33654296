"""Labelled paths, and how well the rules agree with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from xops.core.errors import InputError
from xops.triggers.measure.classification import Classifier, Kind
from xops.triggers.measure.classification.labels import FILE, Agreement, Label, measure, read

DEFAULT = Classifier()
LABELS = read()


def part(half: str, by: str) -> Agreement:
    (found,) = (a for a in measure(DEFAULT, LABELS) if (a.half, a.by) == (half, by))
    return found


def test_the_labels_are_of_many_repositories_each_in_one_half() -> None:
    halves = {label.repository: label.half for label in LABELS}
    assert len(LABELS) >= 400
    assert set(halves.values()) == {"learn", "held_out"}
    assert min(list(halves.values()).count(half) for half in ("learn", "held_out")) >= 10
    assert all(halves[label.repository] == label.half for label in LABELS)
    assert len({(label.repository, label.path) for label in LABELS}) == len(LABELS)


def test_each_label_has_its_origin_and_a_kind_if_it_is_infrastructure_code() -> None:
    for label in LABELS:
        assert bool(label.kind) == label.infrastructure
        assert not label.kind or label.kind in set(Kind)
    commits = {line.split(",")[2] for line in FILE.read_text().splitlines()[1:]}
    assert all(len(commit) == 40 for commit in commits)


def test_the_labels_hold_keys_and_no_content_of_files() -> None:
    """Each line is a key, a short value of few known keys, or the name of a library."""
    for label in LABELS:
        for line in (label.content or "").splitlines():
            key, _, value = line.partition(": ")
            known = ("apiVersion", "kind", "$schema", "Type", "type", "Transform", "AWSTemplate")
            assert len(line) < 200
            assert not value or any(name in key for name in known)


@pytest.mark.parametrize("half", ["learn", "held_out"])
def test_with_content_the_rules_are_right_on_both_halves(half: str) -> None:
    agreement = part(half, "content")
    assert agreement.precision is not None
    assert agreement.recall is not None
    assert agreement.precision >= 0.97
    assert agreement.recall >= 0.97


@pytest.mark.parametrize("half", ["learn", "held_out"])
def test_by_the_path_alone_what_is_found_is_right(half: str) -> None:
    precision = part(half, "path").precision
    assert precision is not None
    assert precision >= 0.97


def test_every_path_is_counted_once() -> None:
    for agreement in measure(DEFAULT, LABELS):
        counted = agreement.found + agreement.missed + agreement.wrongly_found + agreement.neither
        assert counted == sum(agreement.kinds.values())
        assert len(agreement.mistakes) == agreement.missed + agreement.wrongly_found


def test_what_cannot_be_measured_is_unknown() -> None:
    (agreement,) = measure(DEFAULT, [Label("README.md", infrastructure=False)])
    assert (agreement.precision, agreement.recall) == (None, None)


def test_labels_without_content_are_measured_by_path_only(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,label\nmain.tf,yes\nREADME.md,no\nx.yaml,yes\n")
    (agreement,) = measure(DEFAULT, read(file))
    assert (agreement.by, agreement.found, agreement.missed) == ("path", 1, 1)
    assert agreement.recall == 0.5


def test_a_kind_alone_is_a_label(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("path,kind\nmain.tf,terraform\nREADME.md,none\nx.py,\n")
    assert [label.infrastructure for label in read(file)] == [True, False, False]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "columns"),
        ("path\nmain.tf\n", "columns"),
        ("path,label\n", "no rows"),
        ("path,label\nmain.tf,maybe\n", "neither yes nor no"),
        ("path,label\n,yes\n", "no path"),
        ("path,label\nmain.tf\n", "neither yes nor no"),
        ("\xff", "columns"),
    ],
)
def test_a_file_that_is_no_table_of_labels_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=problem):
        read(file)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_bytes(b"path,label\n\xff\xfe,yes\n")
    with pytest.raises(InputError, match="reading the labelled paths"):
        read(file)
