"""Which records count: what stands in a folder, held against what its owners committed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from tempfile import TemporaryDirectory
from typing import Protocol

from xops.core.errors import InputError
from xops.triggers.facts import Mandate
from xops.triggers.measure.declarations import Declaration, Declared, agreed, declared
from xops.triggers.measure.git_log import Commit, Signature, address_of
from xops.triggers.measure.mandate_record import Declarable, read_record
from xops.triggers.policy import Mandates

_MADE_BY_GITHUB = "noreply@github.com"


class Log(Protocol):
    """What has to be asked of the history; see `RepositoryLog`."""

    def commits(self) -> Sequence[Commit]:
        """All that the folder is made of, parents first."""
        ...

    def head(self) -> Mapping[str, str]:
        """The files as they were committed last: name to blob."""
        ...

    def files(self, sha: str) -> Mapping[str, str]:
        """The files as of a commit."""
        ...

    def text(self, blob: str) -> str:
        """What a file held."""
        ...

    def signature(self, sha: str) -> Signature:
        """Whose signature a commit has."""
        ...


@dataclass(frozen=True)
class Judged:
    """What became of a record: the mandate, and what to do where it does not count."""

    mandate: Mandate
    remedy: str = ""


class _Blobs:
    """The records in the files of the history, each read once."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._records: dict[str, Declarable | None] = {}

    def record(self, blob: str) -> Declarable | None:
        """The record in a blob; None where it is none."""
        if blob not in self._records:
            self._records[blob] = _record_in(self._log.text(blob))
        return self._records[blob]

    def files(self, sha: str) -> Mapping[str, str]:
        """The records as of a commit: name to blob."""
        return self._log.files(sha)


def _record_in(text: str) -> Declarable | None:
    with TemporaryDirectory(prefix="xops-record-") as folder:
        file = Path(folder) / "record.yaml"
        file.write_text(text, encoding="utf-8")
        try:
            return read_record(file)
        except InputError:
            return None


class History:
    """Holds what stands in the folder against what owners committed."""

    def __init__(self, policy: Mandates, log: Log) -> None:
        self._policy = policy
        self._owners = {plain(owner) for owner in policy.owners}
        self._log = log
        self._objections: dict[str, str] = {}
        blobs = _Blobs(log)
        self._commits = [_to_records(commit) for commit in log.commits()]
        self._head = {
            name: blobs.record(blob) for name, blob in log.head().items() if is_record(name)
        }
        self._declared: Declared[Declarable] = declared(self._commits, self._is_owners, blobs)

    def judged(self, records: Mapping[str, Declarable]) -> Iterator[Judged]:
        """Each record that is here, then each that owners declared and that is not."""
        valid = {row: said[-1] for said in self._declared.values() if (row := agreed(said))}
        told: set[Declarable] = set()
        for name, record in records.items():
            if record in told:
                continue  # the same record again, in another file
            told.add(record)
            if record in valid and record in self._head.values():
                yield Judged(as_mandate(record, name, valid[record].commit, ""))
            else:
                yield self._not_valid(name, record)
        for name, said in self._declared.items():
            for record in dict.fromkeys(one.record for one in said if one.record):
                if record not in told:
                    told.add(record)
                    yield self._gone(name, record, said)

    def _not_valid(self, name: str, record: Declarable) -> Judged:
        """A record that is here, and is not what owners committed last."""
        if record not in self._head.values():
            return self._not_committed(name, record)
        for said in self._declared.values():
            if record in {one.record for one in said} and not agreed(said):
                return self._disputed(name, record, said)
        commit = self._at_fault(name)
        if commit is None:
            reason = "is not what an owner committed last: a merge brought it"
            return Judged(as_mandate(record, name, "", reason), _AGAIN)
        reason = f"was committed by {self._who(commit)}"
        return Judged(as_mandate(record, name, commit.sha, reason), self._remedy(commit))

    def _not_committed(self, name: str, record: Declarable) -> Judged:
        last = next((commit.sha for commit in reversed(self._commits)
                     if name in self._head and name in _names(commit)), "")  # fmt: skip
        if not last:
            return Judged(as_mandate(record, name, "", "is not committed"), _COMMIT)
        reason = f"was changed since its last commit, {last[:12]}"
        return Judged(as_mandate(record, name, last, reason), _COMMIT_OR_TAKE_BACK)

    def _disputed(
        self, name: str, record: Declarable, said: Sequence[Declaration[Declarable]]
    ) -> Judged:
        commits = ", ".join(one.commit[:12] for one in said)
        reason = f"is disputed: owners said different things side by side, in {commits}"
        return Judged(as_mandate(record, name, said[0].commit, reason), _AGAIN)

    def _gone(
        self, name: str, record: Declarable, said: Sequence[Declaration[Declarable]]
    ) -> Judged:
        """A record that owners declared, and that is not here as they did."""
        if not agreed(said):
            return self._disputed(name, record, said)
        since = said[0].commit
        what = "changed" if name in self._head else "deleted"
        if record in self._head.values():
            reason = "was changed or deleted here without a commit"
            return Judged(as_mandate(record, name, since, reason), _COMMIT_OR_TAKE_BACK)
        commit = self._at_fault(name, since)
        by = f"by {self._who(commit)}" if commit else "in a merge that is no owner's"
        remedy = (
            f"Restore it: `git checkout {since[:12]} -- {name}`, and commit. If it is to end, let"
            " an owner change or delete it after that."
        )
        return Judged(as_mandate(record, name, since, f"was {what} {by}"), remedy)

    def _at_fault(self, name: str, since: str = "") -> Commit | None:
        """The last commit of a file that is no owner's, after another commit."""
        for commit in reversed(self._commits):
            if commit.sha == since:
                break
            if name in _names(commit) and self._objection(commit):
                return commit
        return None

    def _is_owners(self, commit: Commit) -> bool:
        return not self._objection(commit)

    def _objection(self, commit: Commit) -> str:
        if commit.sha not in self._objections:
            self._objections[commit.sha] = self._objected(commit)
        return self._objections[commit.sha]

    def _objected(self, commit: Commit) -> str:
        """Why a commit is not proven to be an owner's; empty if it is."""
        if plain(commit.author) not in self._owners:
            return "who is not among mandates.owners"
        if not self._policy.signed:
            return ""
        signature = self._log.signature(commit.sha)
        if signature.problem:
            return f"whose signature does not verify ({signature.problem})"
        if signature.key in self._policy.github_keys:
            return ""  # GitHub made it for the account that has the author's address
        if self._policy.signing_keys and signature.key not in self._policy.signing_keys:
            return f"signed with the key {signature.key}, which is not among mandates.signing_keys"
        # A key is accepted for somebody: it must be an owner's, not that of anyone Git trusts.
        if self._owners.isdisjoint(map(plain, signature.addresses)):
            told = _shown(signature.signer) or signature.key
            if plain(address_of(signature.signer)) in self._owners:
                return f"signed by {told}, a user id for which nobody here vouches"
            return f"signed by {told}, not by an owner"
        return ""

    def _who(self, commit: Commit) -> str:
        return f"{_shown(commit.author)} in {commit.sha[:12]}, {self._objection(commit)}"

    def _remedy(self, commit: Commit) -> str:
        if self._policy.signed and plain(commit.committer) == _MADE_BY_GITHUB:
            return _BY_GITHUB
        return f"{_AGAIN} Sign it: `git commit -S`." if self._policy.signed else _AGAIN


_COMMIT = "Let an owner commit it."
_COMMIT_OR_TAKE_BACK = "Let an owner commit the change, or take it back: `git checkout -- FILE`."
_AGAIN = "Let an owner commit the file again, with any change to it, such as a comment."
_BY_GITHUB = (
    "GitHub made this commit. Merge with a merge commit, which keeps the owner's own; or squash,"
    " and name GitHub's key in mandates.github_keys."
)


def is_record(name: str) -> bool:
    """Whether a file of that name is to hold a record."""
    return name.endswith((".yaml", ".yml"))


def _to_records(commit: Commit) -> Commit:
    changes = tuple(change for change in commit.changes if is_record(change.name))
    return replace(commit, changes=changes)


def _names(commit: Commit) -> set[str]:
    return {change.name for change in commit.changes}


def plain(address: str) -> str:
    """An address to compare: only A to Z have a small form, other letters stay as they are.

    `str.lower` makes a `k` of the sign for kelvin, which is another address.
    """
    return address.translate(_SMALL)


_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)


def _shown(text: str) -> str:
    """Text in which letters that look like others can be told apart."""
    return text.encode("ascii", "backslashreplace").decode()


def as_mandate(record: Declarable, file: str, commit: str, reason: str) -> Mandate:
    """A record as a fact; with a `reason` it does not count."""
    return Mandate(
        kind=record.kind,
        subject=record.subject,
        who=record.who,
        what=record.what,
        jurisdiction=record.jurisdiction,
        evidence=record.evidence,
        effective_from=record.effective_from,
        expires=record.expires,
        valid=not reason,
        reason=reason,
        file=file,
        commit=commit,
    )
