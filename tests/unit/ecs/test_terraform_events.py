"""Steps and errors out of the lines of `terraform -json`; the streams are recorded real ones."""

import json
from pathlib import Path

import pytest

from xops.core.errors import PermanentError
from xops.ecs.terraform_errors import Diagnostic
from xops.ecs.terraform_events import (
    CHECK_FAILED,
    EventStream,
    TerraformStep,
    failed_checks,
    in_one_order,
)

SAMPLES = Path(__file__).parent / "samples"


def read(name: str, total: int | None = None) -> tuple[EventStream, list[TerraformStep]]:
    progress: list[TerraformStep] = []
    stream = EventStream(progress.append, total)
    for line in (SAMPLES / name).read_text().splitlines():
        stream.feed(line)
    return stream, progress


def test_an_apply_counts_each_resource_up_to_the_total() -> None:
    stream, progress = read("apply.jsonl", total=4)

    assert [(p.done, p.event, p.address) for p in progress] == [
        (0, "apply_start", "terraform_data.network"),
        (1, "apply_complete", "terraform_data.network"),
        (1, "apply_start", "terraform_data.secret"),
        (2, "apply_complete", "terraform_data.secret"),
        (2, "apply_start", "terraform_data.task"),
        (3, "apply_complete", "terraform_data.task"),
        (3, "apply_start", "terraform_data.service[0]"),
        (4, "apply_complete", "terraform_data.service[0]"),
    ]
    assert {p.total for p in progress} == {4}
    assert progress[0].message == "terraform_data.network: Creating..."
    assert stream.errors == []


def test_the_summary_of_an_apply_is_no_new_total() -> None:
    assert read("apply.jsonl")[0].total is None


def test_a_data_source_read_during_the_apply_is_shown_and_is_no_step() -> None:
    """The plan counts what it adds, changes and removes; `2 of 1` would be no progress."""
    _, progress = read("apply-with-read.jsonl", total=1)

    assert "data.terraform_remote_state.r" in {p.address for p in progress}
    assert [p.done for p in progress] == [0, 1, 1, 1]


def test_a_failed_apply_keeps_its_errors_and_does_not_count_the_failed_resource() -> None:
    """This stream begins with a warning that is no JSON: the first line of it is not a brace."""
    stream, progress = read("apply-failed.jsonl")

    assert stream.errors == [
        Diagnostic(
            "error",
            "local-exec provisioner error",
            "Error running command 'echo trying; exit 3': exit status 3. Output: trying",
            "terraform_data.broken",
        )
    ]
    assert stream.total == 2
    assert (progress[-1].event, progress[-1].done) == ("apply_errored", 1)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "╷",
        "Warning: something",
        "{not json",
        '{"type":"a type of 2030","hook":{}}',
        '{"@message":"no type"}',
        '{"type":"resource_drift","change":{}}',
        '{"type":"diagnostic","diagnostic":{"severity":"warning","summary":"w"}}',
        '{"type":"version","ui":"1.99"}',
    ],
)
def test_what_is_not_understood_is_passed_over(line: str) -> None:
    progress: list[TerraformStep] = []
    stream = EventStream(progress.append)

    stream.feed(line)

    assert (stream.errors, stream.total, stream.done, progress) == ([], None, 0, [])


@pytest.mark.parametrize(
    ("event", "version"),
    [
        ({"type": "version", "ui": "2.0"}, "2.0"),
        ({"type": "version", "ui": "10.0"}, "10.0"),
        ({"type": "version"}, "unknown"),
    ],
)
def test_another_major_version_of_the_format_is_refused(
    event: dict[str, str], version: str
) -> None:
    with pytest.raises(PermanentError, match=f"its format has version {version}"):
        EventStream().feed(json.dumps(event))


def test_nobody_needs_to_listen() -> None:
    stream = EventStream(total=1)
    stream.feed((SAMPLES / "apply.jsonl").read_text().splitlines()[6])

    assert stream.done == 1


def check(context: str, detail: str) -> str:
    row = {"severity": "warning", "summary": CHECK_FAILED, "detail": detail}
    event = {"type": "diagnostic", "diagnostic": {**row, "snippet": {"context": context}}}
    return json.dumps(event)


def test_warnings_are_kept_and_name_the_check_that_does_not_hold() -> None:
    stream = EventStream()
    stream.feed(check('check "size"', "Too small."))
    stream.feed(check('resource "a" "b"', "Deprecated."))

    assert stream.errors == []
    assert stream.warnings == [
        Diagnostic("warning", CHECK_FAILED, "Too small.", "check.size"),
        Diagnostic("warning", CHECK_FAILED, "Deprecated.", ""),
    ]


def checks(status: str, *problems: str, kind: str = "check") -> dict[str, object]:
    address = {"kind": kind, "to_display": "check.size"}
    rows = [{"message": problem} for problem in problems]
    instance = {"address": address, "status": status, "problems": rows}
    return {"checks": [{"address": address, "status": status, "instances": [instance]}]}


def test_checks_of_a_plan_file_that_fail_or_cannot_be_told_are_warnings() -> None:
    assert failed_checks({}) == []
    for passed in ("pass", "unknown"):
        assert failed_checks(checks(passed)) == []
    assert failed_checks(checks("fail", "a", kind="resource")) == []
    assert [row.detail for row in failed_checks(checks("fail", "a", "b"))] == ["a", "b"]
    assert [row.detail for row in failed_checks(checks("error"))] == ["status error"]
    assert {row.address for row in failed_checks(checks("error"))} == {"check.size"}


def test_the_same_warning_out_of_two_places_is_one_in_one_order() -> None:
    rows = [Diagnostic("warning", "s", "b"), Diagnostic("warning", "s", "a")]
    assert in_one_order([*rows, *rows]) == tuple(reversed(rows))
