"""Terraform's diagnostics as xOps errors: what a person can do about each cause.

Pure: text in, error out. The texts are Terraform's and the AWS provider's own (Terraform 1.11 to
1.15, provider 5.100); the tests hold samples that these tools really printed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from xops.aws.errors import ThrottledError
from xops.core.errors import (
    CredentialsError,
    DiskFullError,
    PermanentError,
    StalePlanError,
    TemporaryError,
    UnreachableError,
    XopsError,
)

COMMAND = "xops ecs {verb} --environment NAME"
"""A command line for messages; `{verb}` is `unlock` or one of `state`."""


@dataclass(frozen=True)
class Diagnostic:
    """One of Terraform's messages: severity, summary, detail and the resource it is about."""

    severity: str
    summary: str
    detail: str = ""
    address: str = ""

    def __str__(self) -> str:
        where = f"{self.address}: " if self.address else ""
        return f"{where}{self.summary}" + (f": {self.detail}" if self.detail else "")


@dataclass(frozen=True)
class LockInfo:
    """Who holds a state lock, as Terraform wrote it into the lock itself."""

    id: str
    path: str
    operation: str
    who: str
    created: datetime | None

    def age(self, now: datetime) -> str:
        """How long the lock has been held, for people; "an unknown time" if it does not say."""
        if self.created is None:
            return "an unknown time"
        seconds = max(0, int((now - self.created).total_seconds()))
        hours, minutes = divmod(seconds // 60, 60)
        return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds % 60} s"


class TerraformError(PermanentError):
    """Terraform reported errors that trying again does not fix."""


class StateLockedError(TemporaryError):
    """Somebody else holds the state's lock. It is named, and never broken by xOps."""

    is_refusal: ClassVar[bool] = True

    def __init__(self, attempted: str, lock: LockInfo, now: datetime, command: str) -> None:
        self.lock = lock
        super().__init__(
            attempted,
            f"the state {lock.path} is locked by {lock.who} ({lock.operation})"
            f" for {lock.age(now)}; lock id {lock.id}",
            "Wait for that run to end. If it is certain that it has died, clear the lock by hand:"
            f" `{command.format(verb='unlock')} --lock-id {lock.id}`, then run this again.",
            retry_after=0,  # Terraform has waited for its -lock-timeout already
        )
        # A condition's message may look like Terraform's about a lock, with anything in it.
        self.published = "somebody else holds the lock of its state; the run says who"


class ResourceExistsError(TerraformError):
    """What was to be made is in the account already, and not in the state."""


class InitRequiredError(PermanentError):
    """The data folder does not fit the configuration: `terraform init` comes first."""


class ProviderMissingError(PermanentError):
    """A provider plugin could not be had from the mirror or the registry."""


@dataclass(frozen=True)
class _Cause:
    """`cure` is what to do before the state is put back, where it could not be written."""

    pattern: re.Pattern[str]
    error: type[PermanentError] | type[TemporaryError]
    remedy: str
    cure: str


def _cause(
    pattern: str,
    error: type[PermanentError] | type[TemporaryError],
    remedy: str,
    cure: str = "Fix what is named above",
) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), error, remedy, cure)


# In order: the first that matches is the cause, since one cause brings others in its train.
_CAUSES = (
    _cause(
        r"no space left on device",
        DiskFullError,
        "Free disk space, then run it again.",
        "Free disk space",
    ),
    _cause(
        r"initialization required|Module not installed|Required plugins are not installed"
        r"|Inconsistent dependency lock|Backend configuration changed|run \"?terraform init",
        InitRequiredError,
        "Run it again; if it persists, the lock file of terraform/stacks/stream1 and its"
        " required_providers disagree: `terraform providers lock` fixes that.",
    ),
    _cause(
        r"saved plan is stale|saved plan does not match the given state",
        StalePlanError,
        "Plan again: somebody changed the state after this plan was made.",
    ),
    _cause(
        r"ExpiredToken|RequestExpired|security token .{0,200} (is )?expired|token has expired"
        r"|InvalidClientTokenId|UnrecognizedClient|SignatureDoesNotMatch|AuthFailure"
        r"|no valid credential sources|failed to refresh cached credentials|AccessDenied|Forbidden",
        CredentialsError,
        "Log in again (for example `aws sso login`) or correct the role's rights, then run it"
        " again; what was done so far is in the state and is not done twice.",
        "Log in again (for example `aws sso login`) or correct the role's rights",
    ),
    # IAM, S3, EC2, ECS, ELB, KMS, Secrets Manager, CloudFront, WAF: each has a code of its own.
    _cause(
        r"already exist|AlreadyExists|AlreadyOwnedByYou|ResourceExists|\.Duplicate\b"
        r"|Duplicate\w{0,60}(Name|Item|Record)|Creation of service was not idempotent",
        ResourceExistsError,
        "It is in the account, and the state does not know it: a run that died before it could"
        " write the state has made it, or somebody else has. Running this again ends the same way:"
        " import it with an `import` block, or delete it by hand;"
        " docs/runbooks/resource-exists.md shows both.",
    ),
    _cause(
        r"Failed to (query available provider|install provider)|provider registry"
        r"|no available releases match",
        ProviderMissingError,
        "Put the provider into a filesystem mirror and name its folder in XOPS_TERRAFORM_MIRROR,"
        " or allow access to the registry; `xops doctor` shows which of them is used.",
    ),
    _cause(
        r"Throttl|Rate exceeded|RequestLimitExceeded|TooManyRequests|SlowDown",
        ThrottledError,
        "It is tried again after a pause; if it persists, look for other tools using this account.",
        "Look for other tools using this account",
    ),
    _cause(
        r"connection refused|no such host|i/o timeout|network is unreachable|connection reset"
        r"|dial tcp|TLS handshake timeout|context deadline exceeded",
        UnreachableError,
        "Check the network and, for the embedded AWS, that it runs (`xops doctor`).",
        "Check the network and, for the embedded AWS, that it runs (`xops doctor`)",
    ),
)
_UNKNOWN = _cause(
    "",
    TerraformError,
    "Fix what Terraform names above, then run it again; resources that are done stay done.",
)

_LOCK_FIELDS = frozenset({"ID", "Path", "Operation", "Who", "Created"})
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(?:\.\d+)? \+0000")


def lock_info(text: str) -> LockInfo | None:
    """The lock that Terraform's message describes, or None if it describes none."""
    found = dict(_lock_fields(text))
    if "ID" not in found:
        return None
    created = _GO_TIME.search(found.get("Created", ""))
    moment = datetime.fromisoformat("T".join(created.groups())) if created else None
    return LockInfo(
        id=found["ID"],
        path=found.get("Path") or "(unknown path)",
        operation=found.get("Operation") or "unknown operation",
        who=found.get("Who") or "(unknown)",
        created=moment.replace(tzinfo=UTC) if moment else None,
    )


def _lock_fields(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip() in _LOCK_FIELDS:
            yield name.strip(), value.strip()


def classify(
    attempted: str, diagnostics: Sequence[Diagnostic], now: datetime, command: str = COMMAND
) -> XopsError:
    """The error that a caller should see for a failed Terraform command.

    Args:
        attempted: what was being done.
        diagnostics: all of severity error, at least one.
        now: for the age of a lock.
        command: as `COMMAND`, with the environment's name.
    """
    text = "\n".join(str(diagnostic) for diagnostic in diagnostics)
    lock = lock_info(text)
    # Other messages about locks describe one as well: an unlock by the wrong id, for one.
    if lock is not None and "acquiring the state lock" in text.lower():
        return StateLockedError(attempted, lock, now, command)
    found = "\n    ".join(text.splitlines())
    cause = next((cause for cause in _CAUSES if cause.pattern.search(text)), _UNKNOWN)
    remedy = cause.remedy
    if "errored.tfstate" in text:
        remedy = (
            f"{cause.cure}, then put back the newest state, which Terraform has kept and could not"
            f" write: `{command.format(verb='state push')}`. Until then nothing is planned over it."
        )
    error = cause.error(attempted, found, remedy)
    error.published = publishable(diagnostics)
    return error


KEPT_BACK = "words of a program are kept to the run, since they may hold values"
"""What is said in the place of a message that is not published."""

_PUBLISHED = frozenset(
    {
        "Argument or block definition required", "Attempt to get attribute from null value",
        "Attempt to index null value", "Call to unknown function", "Check block assertion failed",
        "Duplicate argument", "Error in function call", "Failed to install provider",
        "Failed to query available provider packages", "Incorrect attribute value type",
        "Inconsistent conditional result types", "Inconsistent dependency lock file",
        "Instance cannot be destroyed", "Insufficient blocks", "Invalid block definition",
        "Invalid character", "Invalid count argument", "Invalid expression",
        "Invalid for_each argument", "Invalid function argument", "Invalid index",
        "Invalid operand", "Invalid postcondition expression", "Invalid precondition expression",
        "Invalid reference", "Invalid template interpolation value",
        "Invalid value for input variable", "Invalid value for variable",
        "Missing newline after argument", "Missing required argument",
        "Missing resource instance key", "Module not found", "Module not installed",
        "Module output value precondition failed", "No value for required variable",
        "Output refers to sensitive values", "Reference to undeclared input variable",
        "Reference to undeclared local value", "Reference to undeclared module",
        "Reference to undeclared output value", "Reference to undeclared resource",
        "Resource postcondition failed", "Resource precondition failed", "Self-referential block",
        "Unclosed configuration block", "Unreadable module directory", "Unsupported argument",
        "Unsupported attribute", "Unsupported block type", "Value for undeclared variable",
    }
)  # fmt: skip
"""Summaries that Terraform itself has as they are, with nothing of anybody's in them. Details,
and whatever a provider or a program says, may quote any value that Terraform could read."""


def publishable(diagnostics: Sequence[Diagnostic]) -> str:
    """What of Terraform's messages may be shown to people who may not read the run.

    A branch can have Terraform quote any value that it can read, in the message of a condition for
    one; and so can a provider, without anybody's meaning it.
    """
    told = dict.fromkeys(filter(None, map(_published, diagnostics)))
    if not told:
        return KEPT_BACK
    return f"{'; '.join(told)} ({KEPT_BACK})"


def _published(diagnostic: Diagnostic) -> str:
    """The summary, if it is one that holds nothing; of a command that prints a text, its own."""
    for line in diagnostic.summary.splitlines():
        summary = line.strip().removeprefix("Error: ")
        if summary in _PUBLISHED:
            return summary
    return ""
