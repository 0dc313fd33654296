"""Every error says what was attempted, what was found and what to do next."""

import json
import pickle

import pytest

from xops.core.errors import (
    ApprovalRequired,
    Finding,
    InputError,
    PermanentError,
    TemporaryError,
    XopsError,
)

PARTS = ("reading prod.yaml", "no such file", "Name another one.")


@pytest.mark.parametrize(
    ("kind", "exit_code", "temporary"),
    [
        (XopsError, 1, False),
        (PermanentError, 1, False),
        (ApprovalRequired, 4, False),
        (TemporaryError, 5, True),
    ],
)
def test_each_kind_has_its_exit_code_and_says_whether_trying_again_helps(
    kind: type[XopsError], exit_code: int, temporary: bool
) -> None:
    error = kind(*PARTS)

    assert str(error) == "reading prod.yaml: no such file\n  -> Name another one."
    assert error.exit_code == exit_code
    assert error.to_json() == {
        "error": kind.__name__,
        "attempted": PARTS[0],
        "found": PARTS[1],
        "remedy": PARTS[2],
        "temporary": temporary,
    }


def test_only_a_temporary_error_is_one_to_be_retried() -> None:
    assert not issubclass(PermanentError, TemporaryError)
    assert not issubclass(InputError, PermanentError | TemporaryError)
    assert TemporaryError(*PARTS).retry_after == 10.0
    assert TemporaryError(*PARTS, retry_after=60).retry_after == 60


@pytest.mark.parametrize(
    ("finding", "text"),
    [
        (Finding("prod.yaml", "budget.amount", "is wrong", 4), "prod.yaml:4: budget.amount: is wr"),
        (Finding("variable X", "a", "is wrong"), "variable X: a: is wrong"),
        (Finding("prod.yaml", "", "not YAML", 1), "prod.yaml:1: not YAML"),
    ],
)
def test_a_finding_says_where_it_stands(finding: Finding, text: str) -> None:
    assert str(finding).startswith(text)


@pytest.mark.parametrize(("number", "count"), [(1, "1 error"), (2, "2 errors")])
def test_an_input_error_lists_every_finding_and_that_nothing_was_started(
    number: int, count: str
) -> None:
    findings = [Finding("f.yaml", f"key{index}", "wrong", index) for index in range(number)]

    error = InputError("reading f.yaml", findings)

    assert error.exit_code == 2
    assert str(error).startswith(f"reading f.yaml: {count}\n")
    assert all(f"  {finding}\n" in str(error) for finding in findings)
    assert "nothing was started" in error.remedy
    assert json.loads(json.dumps(error.to_json()))["findings"] == [
        {"source": "f.yaml", "path": f"key{index}", "message": "wrong", "line": index}
        for index in range(number)
    ]


@pytest.mark.parametrize(
    "error",
    [
        PermanentError(*PARTS),
        ApprovalRequired(*PARTS),
        TemporaryError(*PARTS, retry_after=60),
        InputError("reading f.yaml", [Finding("f.yaml", "key", "wrong", 3)]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_cross_process_boundaries(error: XopsError) -> None:
    """Prefect pickles the exception of a failed task."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
    assert again.args == error.args


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u:canary@h/db",
        "postgresql://u:canary@ca/na@ry@h/db",
        "https://canary@h/x",
        "postgresql://h/db?password=canary&ssl=require",
        "https://h/x?X-Amz-Signature=canary",
        "(https://canary:x@h)",
        "'postgres://u:canary@h/db'",
    ],
)
def test_no_error_shows_the_credentials_of_an_address(address: str) -> None:
    found = [
        PermanentError(f"asking {address}", f"{address} does not answer", "Look there."),
        InputError("reading a file", [Finding("file", "url", f"found {address}")]),
    ]
    for error in found:
        assert "canary" not in str(error) + repr(error.args) + str(error.to_json())
        assert "@h" in str(error) or "//h" in str(error)


def test_an_address_without_credentials_stays_as_it_is() -> None:
    text = "see https://h:1/x?page=2&name=a, or write postgresql://USER:PASSWORD@HOST/DATABASE"
    assert PermanentError("trying", text, "Try.").found == text
