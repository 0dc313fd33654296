"""Who committed a file last, as the project's own Git history says.

Git says who a commit claims to be by. Only a verified signature proves it; without one, the
protection of the branch is what keeps others from writing such a commit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xops.core.errors import PermanentError
from xops.core.process import Command, Finished, run

_DEADLINE_SECONDS = 60.0
_FIELDS = ("%H", "%ae", "%ce", "%G?", "%GS", "%GF")
_PASSED_ON = ("PATH", "HOME", "GNUPGHOME", "LANG", "TMPDIR")


@dataclass(frozen=True)
class LastCommit:
    """The commit that last changed a file.

    Attributes:
        sha: its full name.
        author: e-mail address of its author.
        committer: e-mail address of its committer; GitHub's own where it was merged there.
        signature: `G` if good; the other letters are those of git-log(1), `%G?`.
        signer: user id of the key, or principal of the allowed signers file.
    """

    sha: str
    author: str
    committer: str
    signature: str
    signer: str


class RepositoryLog:
    """Questions to Git about one working copy.

    Args:
        folder: within the working copy.
        environ: of which PATH, HOME and GnuPG's are passed on; the process's own by default.
        git: the program.
    """

    def __init__(
        self, folder: Path, *, environ: Mapping[str, str] | None = None, git: str = "git"
    ) -> None:
        given = os.environ if environ is None else environ
        self._folder = folder
        self._git = git
        self._env = {name: given[name] for name in _PASSED_ON if name in given} | {"LC_ALL": "C"}
        self._env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}

    def is_shallow(self) -> bool:
        """Whether history is cut off, so that the oldest commit known seems to have made all.

        Raises:
            PermanentError: it is no working copy, or Git refuses it.
        """
        asked = self._run("looking at the history", "rev-parse", "--is-shallow-repository")
        return asked.text.strip() == "true"

    def is_committed(self, file: Path) -> bool:
        """Whether the file is in the last commit exactly as it is in the folder.

        Raises:
            PermanentError: Git refuses.
        """
        attempted = f"comparing {file.name} with its last commit"
        changed = self._run(
            attempted,
            "status",
            "--porcelain",
            "--untracked-files=all",
            "--ignored",
            "--",
            str(file),
        )
        return not changed.text.strip()

    def last_commit(self, file: Path) -> LastCommit | None:
        """The commit that last changed the file; None if none has it.

        Raises:
            PermanentError: Git refuses.
        """
        form = "%x1f".join(_FIELDS)
        attempted = f"finding who committed {file.name}"
        asked = self._run(attempted, "log", "-1", f"--format={form}", "--", str(file))
        if not asked.text.strip():
            return None
        # Git may put a verifier's remarks before its own line; ours is the one with separators.
        line = next(line for line in reversed(asked.lines) if "\x1f" in line)
        sha, author, committer, signature, signer, _ = line.split("\x1f")
        return LastCommit(sha, author.lower(), committer.lower(), signature, signer)

    def verifies(self, sha: str) -> bool:
        """Whether `git verify-commit` accepts the commit's signature, as Git is configured here.

        Raises:
            PermanentError: Git cannot be started.
        """
        return self._finished("verify-commit", sha).returncode == 0

    def _run(self, attempted: str, *arguments: str) -> Finished:
        finished = self._finished(*arguments)
        if finished.returncode:
            raise PermanentError(
                attempted,
                finished.text.strip() or f"git ended with {finished.returncode}",
                "Evaluate in a full clone that belongs to who runs this; Git's words are above.",
            )
        return finished

    def _finished(self, *arguments: str) -> Finished:
        # What is checked must not depend on a configuration that prints or pages.
        argv = [self._git, "--no-pager", "-c", "log.showSignature=false", *arguments]
        return run(Command(argv, self._folder, self._env, _DEADLINE_SECONDS))
