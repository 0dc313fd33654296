"""The error tree. Every error says what was attempted, what was found and what to do next.

    XopsError
    +-- InputError        what a person wrote is wrong; nothing was started       exit code 2
    +-- PermanentError    trying again will not help until something is changed   exit code 1
    |   +-- ApprovalRequired   the plan waits for a person                        exit code 4
    |   +-- NotRecordedError   the evidence store takes no record                 exit code 6
    |   +-- CredentialsError   the credentials were not accepted
    |   +-- DiskFullError      there is no room left where something was written
    +-- TemporaryError    trying again later is right                             exit code 5
        +-- StalePlanError     what the plan was made from has changed since
        +-- UnreachableError   the other side could not be reached over the network

Steps subclass these where a caller must tell causes apart. Only `TemporaryError` is retried.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, ClassVar, Self

from xops.core.rendering import Plain, hide_credentials


class ExitCode(IntEnum):
    """How every command ends. Below 10 it says how the command went, from 10 on what it found."""

    meaning: str

    DONE = 0, "done; there is nothing to act on"
    FAILED = 1, "failed; trying again gives the same answer until something is changed"
    BAD_INPUT = 2, "bad input; nothing was started"
    APPROVAL_REQUIRED = 4, "the plan needs an approval"
    TEMPORARY = 5, "failed; trying again later may help"
    NOT_RECORDED = 6, "the evidence store takes no record, so nothing was changed"
    FINDINGS = 10, "found something to act on: changes, drift, an active trigger, a problem"
    INCOMPLETE = 11, 'incomplete data; the answer is unknown, not "none"'
    INTERRUPTED = 130, "interrupted; run it again to resume"

    def __new__(cls, code: int, meaning: str) -> Self:
        """A code with what it means, in the words of the documented table."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


class XopsError(Exception):
    """Base of all errors that xOps raises on purpose.

    Args:
        attempted: what was being done, as a clause ("reading deployments/environments/prod.yaml").
        found: what was found instead of what was needed.
        remedy: what the reader can do next, as an instruction; a command where there is one.

    Attributes:
        published: what of `found` people may be shown who may not read the run, such as those who
            read a pull request: all of it, unless a program's own words are in it.
        is_refusal: whether a change was refused before anything of it was done.
    """

    exit_code: int = ExitCode.FAILED
    is_refusal: ClassVar[bool] = False

    def __init__(self, attempted: str, found: str, remedy: str) -> None:
        self.attempted = attempted = hide_credentials(attempted)
        self.found = self.published = found = hide_credentials(found)
        self.remedy = remedy
        super().__init__(attempted, found, remedy)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross processes (Prefect keeps a failed task's), and a subclass may take other
        # arguments than the three texts with which `Exception` would call it again.
        return _restored, (type(self), self.args, vars(self))

    def __str__(self) -> str:
        # What was found may be anybody's text, and this one ends in logs, states and terminals.
        return Plain.lines(f"{self.attempted}: {self.found}\n  -> {self.remedy}")

    def to_json(self) -> dict[str, object]:
        """The error for machines: kind, the three parts, and whether trying again can help."""
        return {
            "error": type(self).__name__,
            "attempted": self.attempted,
            "found": self.found,
            "remedy": self.remedy,
            "temporary": isinstance(self, TemporaryError),
        }


def _restored(
    kind: type[XopsError], arguments: tuple[str, ...], values: Mapping[str, Any]
) -> XopsError:
    error = kind.__new__(kind, *arguments)
    vars(error).update(values)
    return error


class PermanentError(XopsError):
    """Trying again gives the same answer until a person changes something."""


class TemporaryError(XopsError):
    """Trying again later is right.

    Args:
        retry_after: seconds to wait before the next attempt.
    """

    exit_code = ExitCode.TEMPORARY

    def __init__(
        self, attempted: str, found: str, remedy: str, *, retry_after: float = 10.0
    ) -> None:
        super().__init__(attempted, found, remedy)
        self.retry_after = retry_after


class ApprovalRequired(PermanentError):  # noqa: N818 - it reports a state, not a fault
    """The plan needs a person's approval of its digest, and none was given."""

    exit_code = ExitCode.APPROVAL_REQUIRED


class NotRecordedError(PermanentError):
    """What was about to be done could not be put on record, so it was not done."""

    exit_code = ExitCode.NOT_RECORDED


class CredentialsError(PermanentError):
    """The other side did not accept the credentials."""


class DiskFullError(PermanentError):
    """There is no room left on the disk that was written to."""


class StalePlanError(TemporaryError):
    """What the plan was made from has changed since; a new plan is needed."""

    is_refusal: ClassVar[bool] = True


class UnreachableError(TemporaryError):
    """The other side could not be reached over the network, or the connection was lost."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with an input: where it stands and what is wrong with it.

    `line` counts from 1 and is None where the input has no lines (an environment variable,
    a command-line argument); `source` then names it.
    """

    source: str
    path: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        where = self.source if self.line is None else f"{self.source}:{self.line}"
        return f"{where}: {self.path}: {self.message}" if self.path else f"{where}: {self.message}"


class InputError(XopsError):
    """What a person wrote is wrong. Carries every finding at once, so that one round fixes all."""

    exit_code = ExitCode.BAD_INPUT

    def __init__(
        self,
        attempted: str,
        findings: Sequence[Finding],
        remedy: str = "Correct each line above and run it again; nothing was started.",
    ) -> None:
        self.findings = tuple(
            replace(finding, message=hide_credentials(finding.message)) for finding in findings
        )
        count = "1 error" if len(self.findings) == 1 else f"{len(self.findings)} errors"
        listed = "".join(f"\n  {finding}" for finding in self.findings)
        super().__init__(attempted, f"{count}{listed}", remedy)

    def to_json(self) -> dict[str, object]:
        """As `XopsError.to_json`, with the findings as a list."""
        rows = [vars(finding) for finding in self.findings]
        return {**super().to_json(), "findings": rows}
