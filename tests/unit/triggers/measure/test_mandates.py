"""Declared mandates: what is well-formed, and whose declaration counts."""

from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import pytest

from xops.core.errors import InputError, PermanentError
from xops.triggers.measure import mandates
from xops.triggers.measure.git_log import LastCommit
from xops.triggers.measure.mandates import read_mandates
from xops.triggers.policy import Mandates

OWNER = "platform@example.com"
COMMIT = LastCommit("c0ffee" * 6 + "cafe", OWNER, "noreply@github.com", "N", "")
AZURE = """\
apiVersion: xops/v1
cloud: azure
who: Example Bank
what: A second region outside AWS.
jurisdiction: AU
evidence: https://example.com/contract
effective_from: 2026-07-01
expires: 2027-07-01
"""
EDGE = AZURE.replace("cloud: azure", "site: Plant 7")


@dataclass
class History:
    """An exact stand-in for Git."""

    commit: LastCommit | None = COMMIT
    committed: bool = True
    shallow: bool = False
    accepted: set[str] = field(default_factory=set)

    def is_shallow(self) -> bool:
        return self.shallow

    def is_committed(self, file: Path) -> bool:
        return self.committed

    def last_commit(self, file: Path) -> LastCommit | None:
        return self.commit

    def verifies(self, sha: str) -> bool:
        return sha in self.accepted


@pytest.fixture
def policy(tmp_path: Path) -> Mandates:
    (tmp_path / "azure.yaml").write_text(AZURE)
    return Mandates(folder=tmp_path, owners=(OWNER.upper(),))


def reason(policy: Mandates, history: History) -> str:
    (found,) = read_mandates(policy, history)
    assert found.valid == (not found.reason)
    return found.reason


def test_a_record_by_an_owner_counts(policy: Mandates) -> None:
    (policy.folder / "edge.yml").write_text(EDGE)
    cloud, edge = read_mandates(policy, History())
    assert (cloud.kind, cloud.subject, cloud.valid) == ("second_cloud", "azure", True)
    assert (edge.kind, edge.subject, edge.file) == ("edge", "Plant 7", "edge.yml")
    assert cloud.commit == COMMIT.sha


def test_it_is_in_force_from_its_first_day_up_to_its_last(policy: Mandates) -> None:
    (found,) = read_mandates(policy, History())
    days = [date(2026, 6, 30), date(2026, 7, 1), date(2027, 6, 30), date(2027, 7, 1)]
    assert [found.in_force(day) for day in days] == [False, True, True, False]


def test_no_folder_is_no_mandate(tmp_path: Path) -> None:
    assert read_mandates(Mandates(folder=tmp_path / "none"), History()) == ()


@pytest.mark.parametrize(
    ("history", "words"),
    [
        (History(commit=None), "is not committed"),
        (History(committed=False), "was changed since its last commit, c0ffeec0ffee"),
        (History(replace(COMMIT, author="eve@example.com")), "eve@example.com, who is not among"),
    ],
)
def test_a_record_that_does_not_count_says_why(
    policy: Mandates, history: History, words: str
) -> None:
    assert words in reason(policy, history)


def test_nobody_may_declare_if_the_policy_names_no_owner(policy: Mandates) -> None:
    assert "not among mandates.owners" in reason(
        policy.model_copy(update={"owners": ()}), History()
    )


@pytest.mark.parametrize(
    ("signer", "accepted", "words"),
    [
        (f"Platform <{OWNER}>", True, ""),
        (OWNER, True, ""),
        ("eve@example.com", True, "is signed by eve@example.com, not by an owner"),
        (f"x{OWNER}", True, "not by an owner"),
        (OWNER, False, "does not verify"),
    ],
)
def test_where_signatures_are_wanted_an_owner_s_must_verify(
    policy: Mandates, signer: str, accepted: bool, words: str
) -> None:
    signed = policy.model_copy(update={"signed": True})
    history = History(replace(COMMIT, signer=signer), accepted={COMMIT.sha} if accepted else set())
    found = reason(signed, history)
    assert words in found
    assert bool(words) == bool(found)


def test_a_shallow_clone_cannot_tell(policy: Mandates) -> None:
    with pytest.raises(PermanentError, match="--unshallow"):
        read_mandates(policy, History(shallow=True))


def test_everything_wrong_with_every_file_comes_at_once(policy: Mandates) -> None:
    (policy.folder / "both.yaml").write_text(AZURE + "site: x\n")
    wrong = AZURE.replace("https:", "http:").replace("2027-07-01", "2026-07-01")
    (policy.folder / "wrong.yaml").write_text(wrong + "colour: red\n")
    (policy.folder / "link.yaml").symlink_to(policy.folder / "azure.yaml")
    with pytest.raises(InputError) as error:
        read_mandates(policy, History())
    found = {(Path(f.source).name, f.path, f.line) for f in error.value.findings}
    assert found == {
        ("both.yaml", "site", 9), ("link.yaml", "", None), ("wrong.yaml", "colour", 9),
        ("wrong.yaml", "evidence", 6), ("wrong.yaml", "expires", 8),
    }  # fmt: skip


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert mandates.SCHEMA.read_text() == mandates.schema()
