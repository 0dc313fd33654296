"""What a folder's Git history holds: its commits, its files at a commit, who signed.

Who can write to a repository must not be believed beyond their commits, and must not run a program
here. So Git is asked in an empty repository of ours that borrows the objects of the other one: the
other's configuration, attributes, hooks, replaced objects and grafts are never read. What the
person who runs this has configured for all their repositories stays in force: their keys.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from string import hexdigits
from tempfile import TemporaryDirectory
from typing import NoReturn

from xops.core.errors import PermanentError
from xops.core.files.reading import MOST_BYTES
from xops.core.process import Command, Finished, run

_DEADLINE_SECONDS = 120.0
_PASSED_ON = ("PATH", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GNUPGHOME", "LANG", "TMPDIR")
_FILE_MODES = ("100644", "100755")
_NOT_VALID_UIDS = frozenset("rein")  # revoked, expired, invalid, not valid: gpg's DETAILS, field 2
_VOUCHED_FOR = "mfu"  # marginally, fully, ultimately: the same

_FORMAT = "%x00".join(("%H", "%P", "%ae", "%ce"))
_LOG = ("log", "--full-history", "--topo-order", "--reverse", "--parents", "-c", "--root", "--raw",
        "-z", "--no-abbrev", "--no-renames", "--encoding=none", f"--format={_FORMAT}")  # fmt: skip

# A folder that looks like a repository may have come with a commit; nobody's settings for how a
# history is shown change what is read.
_SETTINGS = ("safe.bareRepository=explicit", "core.fsmonitor=false", "log.showSignature=false",
             "advice.graftFileDeprecated=false")  # fmt: skip

LETTERS = {
    "N": "there is none",
    "B": "it is forged, or its key is revoked",
    "E": "its key is not known here",
    "X": "it has expired",
    "Y": "its key has expired",
    "R": "its key is revoked",
    "U": "nobody here vouches for its key",
}
"""What Git's letters for a signature mean where `git verify-commit` does not accept it."""


@dataclass(frozen=True)
class Change:
    """What a commit did to a file.

    Attributes:
        name: the file's name in the folder.
        blob: what it holds since; empty where it was deleted, or is no regular file.
        before: what it held in each parent; empty where it was not there.
    """

    name: str
    blob: str
    before: tuple[str, ...]


@dataclass(frozen=True)
class Commit:
    """A commit that changed the folder, or a merge.

    Attributes:
        sha: its full name.
        parents: the nearest earlier ones that changed the folder, or are merges.
        author: e-mail address of its author.
        committer: e-mail address of its committer; GitHub's own where it was merged there.
        changes: of the files in the folder; of a merge, those that no parent has.
    """

    sha: str
    parents: tuple[str, ...]
    author: str
    committer: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Signature:
    """Who signed a commit.

    Attributes:
        problem: why it does not verify; empty if `git verify-commit` accepts it.
        key: fingerprint of the key, for OpenPGP of the primary one.
        signer: the key's first user id, or its principal, as Git shows it.
        addresses: those that are bound to the key, one of each user id that is still valid.
    """

    problem: str
    key: str = ""
    signer: str = ""
    addresses: frozenset[str] = frozenset()


def address_of(user_id: str) -> str:
    """The address that a key's user id is for; empty where that is not beyond doubt.

    It is what stands in the only angle brackets, at the end; or all of it, without any. A name may
    hold anything, such as the address of somebody else.
    """
    name, opening, rest = user_id.partition("<")
    address, closing, after = rest.partition(">") if opening else (name, ">", "")
    doubtful = not closing or after or address.count("@") != 1 or not address.isprintable()
    return "" if doubtful or any(mark in address for mark in " <>,") else address


class RepositoryLog:
    """The history of one folder; see `open_log`.

    Args:
        origin: where it is, of which repository.
        folder: our own repository, which borrows the objects.
        environ: of every process.
        git: the program.
    """

    def __init__(self, origin: _Origin, folder: Path, environ: Mapping[str, str], git: str) -> None:
        self._origin = origin
        self._folder = folder
        self._git = _Git(git, folder, environ)
        self._environ = environ

    def commits(self) -> Sequence[Commit]:
        """All that HEAD is made of, parents first.

        Raises:
            PermanentError: Git refuses, or an object is missing.
        """
        if not self._origin.head:
            return ()
        path = self._origin.prefix.rstrip("/") or "."
        asked = self._git.run("reading the history", *_LOG, self._origin.head, "--", path)
        return tuple(_commits(asked.text.split("\0"), self._origin.prefix))

    def head(self) -> Mapping[str, str]:
        """The folder's files as of HEAD: name to blob.

        Raises:
            PermanentError: as `files`.
        """
        return self.files(self._origin.head) if self._origin.head else {}

    def files(self, sha: str) -> Mapping[str, str]:
        """The folder's files as of a commit: name to blob; regular files only.

        Raises:
            PermanentError: Git refuses, or an object is missing.
        """
        prefix = self._origin.prefix
        path = (prefix,) if prefix else ()
        asked = self._git.run("reading a commit", "ls-tree", "-z", "--full-tree", sha, "--", *path)
        rows = [row.partition("\t") for row in asked.text.split("\0") if row]
        entries = [(about.split(), name.removeprefix(prefix)) for about, _, name in rows]
        return {name: about[2] for about, name in entries if about[0] in _FILE_MODES}

    def text(self, blob: str) -> str:
        """What a file held; empty where that is more than any file may hold.

        Raises:
            PermanentError: Git refuses, or the object is missing.
        """
        attempted = "reading a file of the history"
        size = int(self._git.run(attempted, "cat-file", "-s", blob).lines[-1])
        if size > MOST_BYTES:  # who can commit a file must not fill the memory here
            return ""
        return self._git.run(attempted, "cat-file", "blob", blob).text + "\n"

    def signature(self, sha: str) -> Signature:
        """Whose signature a commit has.

        Raises:
            PermanentError: Git or GnuPG cannot be run.
        """
        verified = self._git.finished("verify-commit", sha)
        if verified.returncode:
            letter, key, primary, signer = self._told(sha, "%G?", "%GF", "%GP", "%GS")
            meaning = LETTERS.get(letter, "it cannot be checked")
            if letter == "N" and verified.lines:  # there is one, and no way to check it
                meaning = verified.lines[0].removeprefix("error: ")
            return Signature(f"{letter}: {meaning}", primary or key, signer)
        key, primary, signer = self._told(sha, "%GF", "%GP", "%GS")
        if key.startswith("SHA256:"):
            return Signature("", key, signer, frozenset(signer.split(",")))
        return Signature("", primary or key, signer, self._addresses(primary or key))

    def _told(self, sha: str, *fields: str) -> list[str]:
        """What Git says of a commit's signature."""
        mark = secrets.token_hex(16)  # verifiers print beside it, and whoever signed has a say
        form = "%x00".join((mark, *fields))
        asked = self._git.run(
            "reading a signature", "log", "--no-walk", "--encoding=none", f"--format={form}", sha
        )
        return next(line for line in asked.lines if line.startswith(f"{mark}\0")).split("\0")[1:]

    def _addresses(self, key: str) -> frozenset[str]:
        """The addresses of the user ids of an OpenPGP key, but for those that were withdrawn.

        Whoever has a key can add user ids to it: where this account vouches for some, those for
        which it does so most are all that count.
        """
        argv = [self._gpg, "--batch", "--no-tty", "--with-colons", "--list-keys", key]
        listed = run(Command(argv, self._folder, self._environ, _DEADLINE_SECONDS))
        rows = [line.split(":") for line in listed.lines if line.startswith("uid:")]
        valid = [row for row in rows if len(row) > 9 and row[1] not in _NOT_VALID_UIDS]
        most = max((_VOUCHED_FOR.find(row[1]) for row in valid), default=-1)
        bound = [row[9] for row in valid if _VOUCHED_FOR.find(row[1]) == most]
        return frozenset(filter(None, (address_of(_unescaped(user)) for user in bound)))

    @cached_property
    def _gpg(self) -> str:
        for name in ("gpg.openpgp.program", "gpg.program"):
            found = self._git.finished("config", "--get", name)
            if not found.returncode:
                return found.text.strip()
        return "gpg"


@contextmanager
def open_log(
    folder: Path, *, environ: Mapping[str, str] | None = None, git: str = "git"
) -> Iterator[RepositoryLog]:
    """The history of a folder within a working copy, for as long as the block lasts.

    Args:
        folder: the folder.
        environ: of which PATH, HOME, and where Git's and GnuPG's settings are, is passed on; the
            process's own by default.
        git: the program.

    Raises:
        PermanentError: it is no working copy, is shallow, Git refuses it, a link leads to it, or
            it stands where another repository has it in its history.
    """
    given = os.environ if environ is None else environ
    passed = {name: given[name] for name in _PASSED_ON if name in given} | {"LC_ALL": "C"}
    passed |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    passed |= {"GIT_NO_REPLACE_OBJECTS": "1"}
    origin = _Origin.of(folder, _Git(git, folder, passed))
    for outer in _around(origin, passed, git):
        with _borrowed(outer, passed, git) as log:
            if any(commit.changes for commit in log.commits()):
                _refuse(folder, "another repository has taken its place, as a submodule does")
    with _borrowed(origin, passed, git) as log:
        yield log


def _around(origin: _Origin, passed: Mapping[str, str], git: str) -> Iterator[_Origin]:
    """The histories that the repositories around it have of the same folder."""
    outer = origin
    while True:
        there = _Git(git, outer.root.parent, passed)
        if there.finished("rev-parse", "--show-toplevel").returncode:
            return
        outer = _Origin.of(there.folder, there)
        inside = origin.root.relative_to(outer.root) / origin.prefix
        yield replace(outer, prefix=f"{inside.as_posix()}/")


@contextmanager
def _borrowed(origin: _Origin, passed: Mapping[str, str], git: str) -> Iterator[RepositoryLog]:
    with TemporaryDirectory(prefix="xops-history-") as own:
        origin.borrow(Path(own))
        borrowed = {
            "GIT_DIR": own,
            "GIT_OBJECT_DIRECTORY": origin.objects,
            # An object that is missing is missing: looking for it elsewhere is a program, too.
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_ALLOW_PROTOCOL": "none",
        }
        yield RepositoryLog(origin, Path(own), dict(passed) | borrowed, git)


@dataclass(frozen=True)
class _Origin:
    """Where a folder's history is.

    Attributes:
        root: of the working copy.
        objects: the folder of its objects.
        algorithm: by which they are named.
        prefix: the folder's path in it, with a slash at the end; empty if it is the root.
        head: the commit it is at; empty before the first.
    """

    root: Path
    objects: str
    algorithm: str
    prefix: str
    head: str

    @classmethod
    def of(cls, folder: Path, git: _Git) -> _Origin:
        """Ask the repository itself; a question that runs nothing."""
        attempted = f"looking for the history of {folder.name}"
        asked = git.run(
            attempted, "rev-parse", "--path-format=absolute", "--is-shallow-repository",
            "--show-object-format", "--git-path", "objects", "--show-toplevel", "--show-prefix",
        )  # fmt: skip
        # Whatever Git remarks comes before.
        shallow, algorithm, objects, root, prefix = asked.lines[-5:]
        if _named_root(folder, prefix) != Path(root):
            _refuse(folder, "a link within the working copy leads to it")
        if shallow != "false":
            raise PermanentError(
                f"finding who committed {folder.name}",
                "the clone is shallow: its oldest commit seems to have written every file",
                "Fetch the whole history: `git fetch --unshallow`.",
            )
        head = git.finished("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        last = "" if head.returncode else head.lines[-1]
        return cls(Path(root), objects, algorithm, prefix, last)

    def borrow(self, folder: Path) -> None:
        """Make a repository there that holds nothing, in the form of the objects to come."""
        for name in ("objects", "refs"):
            (folder / name).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n", encoding="utf-8")
        (folder / "config").write_text(
            "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\tcommitGraph = false\n"
            f"[extensions]\n\tobjectFormat = {self.algorithm}\n",
            encoding="utf-8",
        )


@dataclass(frozen=True)
class _Git:
    """Git in one folder."""

    program: str
    folder: Path
    environ: Mapping[str, str]

    def run(self, attempted: str, *arguments: str) -> Finished:
        """What it prints.

        Raises:
            PermanentError: it refuses.
        """
        finished = self.finished(*arguments)
        if finished.returncode:
            _give_up(attempted, finished.text.strip() or f"git ended with {finished.returncode}")
        return finished

    def finished(self, *arguments: str) -> Finished:
        """How it ended."""
        options = [word for setting in _SETTINGS for word in ("-c", setting)]
        argv = [self.program, "--no-pager", "--literal-pathspecs", *options, *arguments]
        return run(Command(argv, self.folder, self.environ, _DEADLINE_SECONDS))


def _refuse(folder: Path, found: str) -> NoReturn:
    """Somebody who is no owner could let another folder count, or none."""
    remedy = "Let mandates.folder of the policy name a folder of the repository itself."
    raise PermanentError(f"looking for the history of {folder.name}", found, remedy)


def _give_up(attempted: str, found: str) -> NoReturn:
    remedy = "Evaluate in a full clone that belongs to who runs this; Git's words are above."
    raise PermanentError(attempted, found, remedy)


def _named_root(folder: Path, prefix: str) -> Path | None:
    """Where the working copy is if no link within it leads to the folder; the root may be one."""
    named, inside = Path(os.path.abspath(folder)), Path(prefix).parts
    ends_so = named.parts[-len(inside) :] == inside if inside else True
    return Path(*named.parts[: len(named.parts) - len(inside)]).resolve() if ends_so else None


def _commits(words: Sequence[str], prefix: str) -> Iterator[Commit]:
    """Commits from the output of `_LOG`: four fields, then pairs of a raw entry and its path.

    None of the fields can hold a NUL, and no name of a commit begins with a colon.

    Raises:
        PermanentError: there is something else.
    """
    at = _next(words, 0)
    while at < len(words):
        sha, parents, author, committer = words[at : at + 4]
        if not set(sha) <= set(hexdigits):  # a remark of Git's
            _give_up("reading the history", sha)
        changes: list[Change] = []
        at = _next(words, at + 4)
        while at < len(words) and words[at].lstrip("\n").startswith(":"):
            entry, path = words[at].strip("\n"), words[at + 1]
            name = path.removeprefix(prefix)
            if path.startswith(prefix) and "/" not in name:
                changes.append(_change(entry, name))
            at = _next(words, at + 2)
        yield Commit(sha, tuple(parents.split()), author, committer, tuple(changes))


def _next(words: Sequence[str], at: int) -> int:
    """Where the next word is: Git separates commits by more than one NUL."""
    while at < len(words) and not words[at].strip("\n"):
        at += 1
    return at


def _change(entry: str, name: str) -> Change:
    """A raw entry: a colon for each parent, their modes and the file's, then as many blobs."""
    fields = entry.lstrip(":").split()
    parents = len(entry) - len(entry.lstrip(":"))
    modes, blobs = fields[: parents + 1], fields[parents + 1 : 2 * parents + 2]
    files = [blob if mode in _FILE_MODES else "" for mode, blob in zip(modes, blobs, strict=True)]
    return Change(name, files[-1], tuple(files[:-1]))


def _unescaped(text: str) -> str:
    """A field of GnuPG's colon lists, in which `\\xHH` stands for a byte."""
    head, *parts = text.split("\\x")
    escaped = [bytes.fromhex(part[:2]) + part[2:].encode() for part in parts]
    return (head.encode() + b"".join(escaped)).decode(errors="replace")
