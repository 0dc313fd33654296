"""Terraform's own words, as errors that say what to do. The samples are what it really printed."""

import json
import pickle
import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xops.core.errors import DiskFullError, PermanentError, StalePlanError, TemporaryError
from xops.core.files.settings import ROOT
from xops.ecs.terraform_errors import (
    Diagnostic,
    LockInfo,
    ResourceExistsError,
    StateLockedError,
    classify,
    lock_info,
)

SAMPLES = json.loads((Path(__file__).parent / "samples" / "diagnostics.json").read_text())
NOW = datetime(2026, 3, 11, 10, 1, 30, tzinfo=UTC)
TEMPORARY = {"StateLockedError", "StalePlanError", "ThrottledError", "UnreachableError"}


def sample(name: str) -> Diagnostic:
    row = SAMPLES[name]
    return Diagnostic("error", row["summary"], row["detail"], row.get("address", ""))


@pytest.mark.parametrize("name", SAMPLES)
def test_each_of_terraform_s_messages_has_its_cause(name: str) -> None:
    error = classify("terraform apply", [sample(name)], NOW)

    assert type(error).__name__ == SAMPLES[name]["error"]
    assert isinstance(error, TemporaryError) is (SAMPLES[name]["error"] in TEMPORARY)
    assert error.attempted == "terraform apply"
    assert error.remedy


@pytest.mark.parametrize("name", [n for n in SAMPLES if not n.startswith("locked")])
def test_what_terraform_said_is_kept_whole(name: str) -> None:
    found = classify("terraform apply", [sample(name)], NOW).found

    said = f"{SAMPLES[name]['summary']}\n{SAMPLES[name]['detail']}".splitlines()
    assert [line for line in said if line not in found] == []


def test_a_locked_state_names_who_holds_it_for_how_long_and_never_offers_to_break_it() -> None:
    error = classify("terraform plan", [sample("locked in S3")], NOW)

    assert isinstance(error, StateLockedError)
    assert error.is_refusal
    assert error.lock == LockInfo(
        id="6b1f7c1e-6a0e-4f52-8d3a-0f6c3f1d2a11",
        path="state/stream1/terraform.tfstate",
        operation="OperationTypeApply",
        who="ann@build-7",
        created=datetime(2026, 3, 11, 9, 58, 20, tzinfo=UTC),
    )
    assert error.found == (
        "the state state/stream1/terraform.tfstate is locked by ann@build-7 (OperationTypeApply)"
        " for 3 min 10 s; lock id 6b1f7c1e-6a0e-4f52-8d3a-0f6c3f1d2a11"
    )
    assert "--lock-id 6b1f7c1e-6a0e-4f52-8d3a-0f6c3f1d2a11" in error.remedy


def test_a_locked_state_crosses_process_boundaries() -> None:
    error = classify("terraform plan", [sample("locked in S3")], NOW)

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is StateLockedError
    assert vars(again) == vars(error)


@pytest.mark.parametrize(
    ("seconds", "age"),
    [
        (-5, "0 min 0 s"),
        (0, "0 min 0 s"),
        (59, "0 min 59 s"),
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (90_061, "25 h 1 min"),
    ],
)
def test_a_lock_s_age_is_for_people(seconds: int, age: str) -> None:
    lock = LockInfo("1", "p", "o", "w", created=NOW - timedelta(seconds=seconds))

    assert lock.age(NOW) == age


def test_a_lock_without_a_time_has_an_unknown_age() -> None:
    lock = lock_info("Lock Info:\n  ID:  1\n  Created: yesterday\n")

    assert lock is not None
    assert lock.created is None
    assert lock.age(NOW) == "an unknown time"


def test_an_empty_field_of_a_lock_does_not_swallow_the_next_one() -> None:
    lock = lock_info("Lock Info:\n  ID:   1\n  Path:   \n  Operation:\n  Who:  ann\n")

    assert lock == LockInfo("1", "(unknown path)", "unknown operation", "ann", None)


@pytest.mark.parametrize("text", ["", "no lock here", "RequestID: 5, HostID: 6"])
def test_a_text_without_a_lock_describes_none(text: str) -> None:
    assert lock_info(text) is None


def test_a_lock_is_found_behind_terraform_s_box_drawing() -> None:
    boxed = "\n".join(f"│ {line}" for line in str(sample("locked in S3")).splitlines())
    lines = [line.strip("│ ") for line in boxed.splitlines()]

    error = classify("terraform output", [Diagnostic("error", "\n".join(lines))], NOW)

    assert isinstance(error, StateLockedError)


def test_the_first_cause_is_the_one_that_brought_the_others() -> None:
    """A full disk makes locking fail as well; a registry that is out of reach hides a provider."""
    both = [sample("connection refused"), sample("disk full while locking")]

    assert isinstance(classify("terraform plan", both, NOW), DiskFullError)


@pytest.mark.parametrize(
    ("cause", "cure"),
    [("disk full while saving the state", "Free disk space"), ("expired", "aws sso login")],
)
def test_a_state_that_could_not_be_written_is_put_back_before_anything_else(
    cause: str, cure: str
) -> None:
    kept = Diagnostic("error", "Failed to save state", 'stored in the file "errored.tfstate"')
    causes = [Diagnostic("error", "ExpiredToken")] if cause == "expired" else [sample(cause)]
    command = "xops ecs {verb} --environment prod"
    error = classify("terraform apply", [*causes, kept], NOW, command)

    assert cure in error.remedy
    assert "`xops ecs state push --environment prod`" in error.remedy
    assert "is in the state" not in error.remedy


EXISTS = {
    "IAM": "creating IAM Role (a): EntityAlreadyExists: Role with name a already exists.",
    "S3": "creating S3 Bucket (a): BucketAlreadyOwnedByYou: Your previous request succeeded",
    "EC2": "creating Security Group (a): InvalidGroup.Duplicate: The security group 'a' ...",
    "EC2 rule": "api error InvalidPermission.Duplicate: the specified rule exists",
    "ELB": "ELBv2 Load Balancer (a) already exists",
    "target group": "DuplicateTargetGroupName: A target group with the same name exists",
    "logs": "ResourceAlreadyExistsException: The specified log group already exists",
    "secrets": "ResourceExistsException: The operation failed because the secret a exists",
    "KMS": "AlreadyExistsException: An alias with the name a already exists",
    "EFS": "FileSystemAlreadyExists: File system 'fs-1' already exists",
    "WAF": "WAFDuplicateItemException: AWS WAF couldn't perform the operation",
    "Budgets": "DuplicateRecordException: the budget already exists",
    "ECS": "InvalidParameterException: Creation of service was not idempotent.",
    "CloudFront": "CNAMEAlreadyExists: One or more of the CNAMEs you provided are in use",
}


@pytest.mark.parametrize("text", EXISTS.values(), ids=EXISTS)
def test_what_exists_outside_the_state_is_not_called_done(text: str) -> None:
    error = classify("terraform apply", [Diagnostic("error", text)], NOW)

    assert isinstance(error, ResourceExistsError)
    assert "stay done" not in error.remedy
    assert "import" in error.remedy
    runbook = re.search(r"docs/runbooks/[a-z-]+\.md", error.remedy)
    assert runbook is not None
    assert (ROOT / runbook[0]).is_file()


@pytest.mark.parametrize(
    "text", ["Saved plan is stale", "Saved plan does not match the given state"]
)
def test_a_plan_of_another_state_is_planned_again(text: str) -> None:
    assert isinstance(classify("terraform apply", [Diagnostic("error", text)], NOW), StalePlanError)


def test_an_unknown_cause_says_what_terraform_said_and_about_which_resource() -> None:
    error = classify("terraform apply", [sample("a tool of a provisioner failed")], NOW)

    assert isinstance(error, PermanentError)
    assert error.found.startswith("terraform_data.broken: local-exec provisioner error: Error run")


def test_a_message_of_a_million_lines_is_looked_through_once() -> None:
    started = time.process_time()
    assert lock_info("\n" * 1_000_000 + "ID:" + " " * 1_000_000 + "x") is not None
    assert lock_info("  \n" * 300_000 + "no lock") is None
    assert time.process_time() - started < 5


CANARY = "canary-of-the-state"


@pytest.mark.parametrize(
    ("summary", "detail", "told"),
    [
        ("Resource precondition failed", CANARY, "Resource precondition failed"),
        ("Unsupported argument", f"An argument named {CANARY}", "Unsupported argument"),
        (f"creating S3 Bucket ({CANARY})", "api error", ""),
        ("External Program Execution Failed", CANARY, ""),
        (f"Error: Invalid function argument\non main.tf line 1:\n{CANARY}", "", "Invalid function"),
        (f"no space left on device {CANARY}", "", ""),
        (f"Unsupported argument {CANARY}", "", ""),
    ],
)
def test_what_is_published_holds_no_word_of_a_branch_or_of_a_provider(
    summary: str, detail: str, told: str
) -> None:
    diagnostic = Diagnostic("error", summary, detail, f'data.x["{CANARY}"]')
    error = classify("terraform plan", [diagnostic], NOW)

    assert CANARY in error.found
    assert CANARY not in error.published
    assert told in error.published
    assert "kept to the run" in error.published
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - written right here
    assert again.published == error.published


def test_a_message_that_only_looks_like_a_lock_s_publishes_nothing_either() -> None:
    forged = f"Error acquiring the state lock\nLock Info:\n  ID: {CANARY}\n  Who: {CANARY}"
    error = classify("terraform plan", [Diagnostic("error", "Precondition", forged)], NOW)

    assert isinstance(error, StateLockedError)
    assert CANARY not in error.published
    assert CANARY in error.found
