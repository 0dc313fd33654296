"""Where a reviewed file comes from: its bytes, their commit, and whether they were changed.

Policy stands in such files. A record that says "the file allowed it" is worth something only if it
also says which file that was.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xops.core.errors import PermanentError
from xops.core.files.settings import ROOT, display
from xops.core.process import Command, run

_DEADLINE_SECONDS = 30.0


@dataclass(frozen=True)
class Provenance:
    """One file as it was when it was read.

    Attributes:
        file: its path, from the project's folder if it lies within.
        sha256: of its bytes.
        commit: what the working copy is at; None where Git cannot tell (an image without one).
        dirty: whether the working copy has changes that are in no commit; None where Git cannot
            tell.
    """

    file: str
    sha256: str
    commit: str | None = None
    dirty: bool | None = None

    def __str__(self) -> str:
        if self.commit is None:
            return f"{self.file} (sha256 {self.sha256[:12]}, no commit known)"
        state = ", with uncommitted changes" if self.dirty else ""
        return f"{self.file} at commit {self.commit[:12]}{state} (sha256 {self.sha256[:12]})"

    def to_json(self) -> dict[str, Any]:
        """JSON values only."""
        return asdict(self)


def read_provenance(file: Path) -> Provenance:
    """Hash the file and ask Git about its working copy.

    Raises:
        OSError: the file cannot be read.
    """
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    head = _git(file.parent, "rev-parse", "HEAD")
    if head is None:
        return Provenance(display(file), sha256)
    changed = _git(file.parent, "status", "--porcelain")
    return Provenance(display(file), sha256, head, None if changed is None else bool(changed))


def is_tracked(file: Path) -> bool | None:
    """Whether a file is a part of a Git repository; None where Git cannot tell."""
    found = _git(file.parent, "ls-files", "--", file.name)
    return None if found is None else bool(found)


def _git(folder: Path, *arguments: str) -> str | None:
    """What Git prints; None where there is no Git, no repository, or no commit yet."""
    # No locks: another Git in the same working copy must not be disturbed by a question.
    environ = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    command = Command(
        ["git", "-C", str(folder), *arguments], cwd=ROOT, env=environ, deadline=_DEADLINE_SECONDS
    )
    try:
        finished = run(command)
    except PermanentError:
        return None
    return finished.text.strip() if finished.returncode == 0 else None
