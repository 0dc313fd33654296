"""An environment of a pull request: configuration of the branch, policy of its base."""

import hashlib
from pathlib import Path

import pytest

from xops.aws.target import Target
from xops.core.errors import InputError
from xops.core.lifecycle.approval_policy import ApprovalPolicy
from xops.ecs.environment import FOLDER, POLICY, REVIEWED, Environment, policy_changes

COMMIT = "c" * 40
TEXT = (FOLDER / "test.yaml").read_text()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(tmp_path / "base", TEXT)


def write(folder: Path, text: str, name: str = "test") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(text)
    return folder


def branch(base: Path, *replaced: tuple[str, str]) -> Path:
    """The branch's folder: the base's file with other texts in it."""
    text = TEXT
    for before, after in replaced:
        assert before in text
        text = text.replace(before, after)
    return write(base.parent / "head", text)


def of(base: Path, head: Path, target: str | None = None) -> Environment:
    return Environment.of_pull_request(
        "test", base=base, head=head, base_commit=COMMIT, target=target
    )


def test_configuration_is_the_branch_s(base: Path) -> None:
    found = of(base, branch(base, ("log_retention_days: 14", "log_retention_days: 30")))

    assert found.log_retention_days == 30


def test_policy_and_budget_are_the_base_s(base: Path) -> None:
    head = branch(
        base,
        ("required_for: [create, update, destroy]", "required_for: [destroy]"),
        ('amount: "45"', 'amount: "4500"'),
        ("evidence: {store: folder}", "evidence: {store: folder, folder: /elsewhere}"),
        ("deletion_protection: false", "deletion_protection: true"),
    )

    found, reviewed = of(base, head), Environment.load("test", folder=base, environ={})

    assert {key: getattr(found, key) for key in POLICY} == {
        key: getattr(reviewed, key) for key in POLICY
    }
    assert set(REVIEWED) < set(POLICY)
    assert policy_changes("test", base=base, head=head) == (
        "approval", "deletion_protection", "evidence", "budget",
    )  # fmt: skip


def test_rules_that_the_branch_breaks_are_not_read(base: Path) -> None:
    head = branch(base, ("required_for: [create, update, destroy]", "required_for: []"))

    assert of(base, head).approval == ApprovalPolicy()


def test_a_record_names_the_base_s_file_and_commit(base: Path) -> None:
    policy = of(base, branch(base, ("owner: platform", "owner: others"))).policy()

    assert policy.provenance.commit == COMMIT
    assert policy.provenance.dirty is False
    assert policy.provenance.file == "deployments/environments/test.yaml"
    assert policy.provenance.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()


def test_nothing_of_a_pull_request_is_exempted(base: Path) -> None:
    write(base, TEXT.replace("required_for: [create, update, destroy]", "required_for: [destroy]"))

    found = of(base, base)

    assert found.target is Target.EMBEDDED
    assert set(found.policy().rules.required_for) >= {"create", "update", "destroy", "over_budget"}


def test_variables_of_the_worker_do_not_lie_over_it(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOPS_ENVIRONMENT__LOG_RETENTION_DAYS", "365")

    assert of(base, base).log_retention_days == 14


def test_a_target_that_the_base_does_not_permit_is_refused(base: Path) -> None:
    head = branch(
        base, ("target: embedded ", "target: aws "), ("region:", "targets: [aws]\nregion:")
    )

    with pytest.raises(InputError, match="is aws, which the file does not permit"):
        of(base, head)
    with pytest.raises(InputError, match="is aws, which the file does not permit"):
        of(base, base, target="aws")
    assert of(base, head, target="localstack").target is Target.LOCALSTACK


def test_an_environment_without_a_file_in_the_base_has_no_policy(base: Path) -> None:
    empty = base.parent / "empty"
    empty.mkdir()

    with pytest.raises(InputError, match="no environment 'test'"):
        of(empty, base)
    with pytest.raises(InputError, match="no environment 'test'"):
        of(base, empty)


def test_what_is_wrong_with_the_branch_s_file_is_said(base: Path) -> None:
    head = branch(base, ("log_retention_days: 14", "log_retention_days: 15"))

    with pytest.raises(InputError, match="log_retention_days"):
        of(base, head)
