"""Git objects as Git makes them: what is named by its SHA-1 can be verified by whoever reads it.

Source of the formats: the Git book, "Git Objects"; git-hash-object(1), git-mktree(1).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

FILE, EXECUTABLE, SYMLINK, SUBMODULE, FOLDER = "100644", "100755", "120000", "160000", "40000"


@dataclass(frozen=True)
class Entry:
    """A file, a symbolic link or a submodule: its mode and the object's id."""

    mode: str
    oid: str


@dataclass(frozen=True)
class Symlink:
    """A symbolic link to push."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A submodule to push, at a commit of the other repository."""

    commit: str


@dataclass(frozen=True)
class Executable:
    """A file to push that may be executed."""

    content: str | bytes


type Content = str | bytes | Symlink | Submodule | Executable
"""What is pushed at a path."""


@dataclass(frozen=True)
class Actor:
    """Who made a commit, and when."""

    name: str
    email: str
    at: datetime

    @property
    def line(self) -> str:
        """As a commit holds it."""
        return f"{self.name} <{self.email}> {int(self.at.timestamp())} +0000"


@dataclass(frozen=True)
class Revision:
    """A commit."""

    tree: str
    parents: tuple[str, ...]
    author: Actor
    committer: Actor
    message: str


@dataclass(frozen=True)
class Merged:
    """What a merge gives: a tree, or the paths at which both sides changed the same file."""

    tree: str | None
    conflicts: tuple[str, ...] = ()


@dataclass
class ObjectStore:
    """The objects of a repository and of all its forks, which share them as at GitHub."""

    kinds: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    revisions: dict[str, Revision] = field(default_factory=dict)

    def put(self, kind: str, content: bytes) -> str:
        """Keep an object; its id."""
        oid = hashlib.sha1(f"{kind} {len(content)}\0".encode() + content).hexdigest()  # noqa: S324
        self.kinds[oid] = (kind, content)
        return oid

    def read(self, oid: str, kind: str) -> bytes | None:
        """The content of an object of that kind; None if there is none."""
        found = self.kinds.get(oid)
        return None if found is None or found[0] != kind else found[1]

    def entry(self, content: Content) -> Entry:
        """Keep what is at a path."""
        match content:
            case Symlink():
                return Entry(SYMLINK, self.put("blob", content.target.encode()))
            case Submodule():
                return Entry(SUBMODULE, content.commit)
            case Executable():
                return Entry(EXECUTABLE, self.entry(content.content).oid)
            case str():
                return Entry(FILE, self.put("blob", content.encode()))
            case bytes():
                return Entry(FILE, self.put("blob", content))

    def tree(self, files: Mapping[str, Entry]) -> str:
        """Keep the trees of these files, by their paths; the id of the uppermost."""
        here: dict[str, Entry] = {}
        below: dict[str, dict[str, Entry]] = {}
        for path, entry in files.items():
            folder, slash, rest = path.partition("/")
            if slash:
                below.setdefault(folder, {})[rest] = entry
            else:
                here[path] = entry
        here |= {name: Entry(FOLDER, self.tree(inner)) for name, inner in below.items()}
        # A folder is sorted as if its name ended with a slash.
        ordered = sorted(here.items(), key=lambda row: row[0] + "/" * (row[1].mode == FOLDER))
        content = b"".join(
            f"{entry.mode} {name}\0".encode() + bytes.fromhex(entry.oid) for name, entry in ordered
        )
        return self.put("tree", content)

    def names(self, tree: str) -> Iterator[tuple[str, Entry]]:
        """What a tree holds, in its order."""
        rest = self.read(tree, "tree") or b""
        while rest:
            head, _, rest = rest.partition(b"\0")
            mode, _, name = head.decode().partition(" ")
            yield name, Entry(mode, rest[:20].hex())
            rest = rest[20:]

    def walk(self, tree: str, prefix: str = "") -> Iterator[tuple[str, Entry]]:
        """What a tree holds and what its folders hold, folders too."""
        for name, entry in self.names(tree):
            yield prefix + name, entry
            if entry.mode == FOLDER:
                yield from self.walk(entry.oid, f"{prefix}{name}/")

    def files(self, tree: str) -> dict[str, Entry]:
        """All files below a tree, by path."""
        return {path: entry for path, entry in self.walk(tree) if entry.mode != FOLDER}

    def text(self, commit: str, path: str) -> str | None:
        """The text of a file at a commit; None if there is no such file."""
        found = self.files(self.revisions[commit].tree).get(path)
        content = None if found is None else self.read(found.oid, "blob")
        return None if content is None else content.decode()

    def commit(
        self,
        tree: str,
        parents: Sequence[str],
        author: Actor,
        message: str,
        committer: Actor | None = None,
    ) -> str:
        """Keep a commit; its id."""
        committer = committer or author
        lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
        lines += [f"author {author.line}", f"committer {committer.line}", "", message]
        oid = self.put("commit", "\n".join(lines).encode())
        at = [
            Actor(one.name, one.email, datetime.fromtimestamp(int(one.at.timestamp()), UTC))
            for one in (author, committer)
        ]
        self.revisions[oid] = Revision(tree, tuple(parents), at[0], at[1], message)
        return oid

    def history(self, commit: str) -> Iterator[str]:
        """A commit and all its ancestors, the nearest first."""
        seen, waiting = {commit}, [commit]
        while waiting:
            found = waiting.pop(0)
            yield found
            fresh = [one for one in self.revisions[found].parents if one not in seen]
            seen.update(fresh)
            waiting += fresh

    def merge_base(self, ours: str, theirs: str) -> str | None:
        """The nearest ancestor of both; None if they have none."""
        known = set(self.history(ours))
        return next((one for one in self.history(theirs) if one in known), None)

    def merge(self, ours: str, theirs: str) -> Merged:
        """Merge two commits, whole files at a time: what both changed differently conflicts."""
        base = self.merge_base(ours, theirs)
        before = {} if base is None else self.files(self.revisions[base].tree)
        left = self.files(self.revisions[ours].tree)
        right = self.files(self.revisions[theirs].tree)
        merged, conflicts = dict[str, Entry](), []
        for path in sorted(before.keys() | left.keys() | right.keys()):
            was, one, other = before.get(path), left.get(path), right.get(path)
            if one != was and other != was and one != other:
                conflicts.append(path)
            chosen = other if one == was else one
            if chosen is not None:
                merged[path] = chosen
        return Merged(None, tuple(conflicts)) if conflicts else Merged(self.tree(merged))
