"""Says of paths which kind of infrastructure code they are: by path, then by content."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Final, Protocol

from pathspec import GitIgnoreSpec

from xops.core.errors import Finding, InputError
from xops.core.files.canonical_json import digest_of
from xops.triggers.measure.classification import contents, hints, markers
from xops.triggers.measure.classification.hints import extension_of
from xops.triggers.measure.classification.index import Group, PatternIndex
from xops.triggers.measure.classification.kinds import POLICY, Excluded, Judgement, Kind
from xops.triggers.measure.classification.paths import BESIDE, CERTAIN, NEVER, PLACES, Patterns
from xops.triggers.patterns import wrong_kinds, wrong_patterns

_RULES = 2
"""Counted up whenever code below decides otherwise than before; tables are in the digest."""

_MOST_CONTENTS = 100
_MOST_MARKERS = 200
"""How many files are asked for at most, of one set of paths."""

_MOST_FOLDERS = 40
_LONGEST_NAME = 255
"""Of paths that are judged: file systems have no longer names, and each `**` tries each folder."""

_TOO_LONG = Judgement(None, certain=True, why="longer or deeper than the path of a real file")
_NOTHING = Judgement(None, certain=True, why="no rule knows it")


class Tree(Protocol):
    """The files of a repository as a pull request left them."""

    def texts(self, paths: Sequence[str]) -> Mapping[str, str | None]:
        """The beginning (64 KiB) of each file.

        Returns:
            None for a path: there is no such file, or it is binary. A path that is missing could
            not be read.
        """
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True)
class Matched:
    """Which of some paths are infrastructure code.

    Attributes:
        kinds: the paths that certainly are, each with its kind.
        open: the paths that only their content, or a file above them, could settle, and that was
            not available.
    """

    kinds: dict[str, str]
    open: tuple[str, ...]


class Classifier:
    """Which kind of infrastructure code a path is.

    Args:
        kinds: patterns by kind which replace all rules that xOps brings for that kind; after `!`
            what is not of the kind. Names that are not in `Kind` are further kinds, tried last.
        exclude: patterns of what is no infrastructure code, whatever its kind; after `!` what is
            judged by its kind all the same, also where xOps would exclude it.

    Raises:
        InputError: a pattern cannot be used, or a kind has the name of an excluded group.
    """

    def __init__(
        self, kinds: Mapping[str, Sequence[str]] | None = None, exclude: Sequence[str] = ()
    ) -> None:
        self._own = {name: tuple(patterns) for name, patterns in (kinds or {}).items()}
        self._exclude = tuple(exclude)
        _refuse_wrong(self._own, self._exclude)
        self._excluded_by_policy = GitIgnoreSpec.from_lines(self._exclude)
        self._groups = list(_groups(self._own))
        self._rules = PatternIndex(self._groups)
        self._judgements: dict[tuple[str, str], Judgement] = {}

    @cached_property
    def _kinds_alone(self) -> PatternIndex:
        """The rules behind a negation of `exclude`: nothing that xOps would exclude."""
        return PatternIndex([group for group in self._groups if group.name not in _EXCLUDED])

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over everything that decides: patterns, content rules, their version."""
        return digest_of(
            {
                "rules": _RULES,
                "groups": [[g.level, g.name, list(g.patterns)] for g in self._groups],
                "exclude": list(self._exclude),
                "hints": hints.document(),
                "contents": contents.document(),
                "markers": markers.document(),
            }
        )

    def judge(self, path: str) -> Judgement:
        """What the path alone tells.

        Args:
            path: as Git writes it: relative to the repository, with `/`.
        """
        parts = path.split("/")
        if len(parts) > _MOST_FOLDERS or (
            len(path) > _LONGEST_NAME and max(map(len, parts)) > _LONGEST_NAME
        ):
            return _TOO_LONG
        rules = self._rules
        if self._exclude:
            included = self._excluded_by_policy.check_file(path).include
            if included:
                return Judgement(None, certain=True, why="github.exclude", group=POLICY)
            rules = self._rules if included is None else self._kinds_alone
        found = rules.first(path, parts)
        if found is None and (made := hints.made_by_template(path)):
            found = rules.first(made, made.split("/"))
        if found:
            return self._judgement(*found)
        hinted = hints.judge(parts, extension_of(parts[-1]))
        return self._of_policy(hinted) or _NOTHING

    def _judgement(self, group: Group, pattern: str) -> Judgement:
        known = self._judgements.get((group.name, pattern))
        if known is None:
            known = _judgement(group, pattern)
            self._judgements[group.name, pattern] = known
        return known

    def _of_policy(self, judgement: Judgement | None) -> Judgement | None:
        """Of a kind that the policy has patterns for, nothing but these decides."""
        if judgement is None or judgement.kind not in self._own:
            return judgement
        return None

    def kind(self, path: str) -> str | None:
        """The kind (or what it is excluded as) of one path, by the path; None is neither."""
        judgement = self.judge(path)
        return judgement.group or judgement.kind

    def infrastructure(self, path: str) -> str | None:
        """The kind of one path, by the best judgement that the path alone allows.

        None: it is no infrastructure code.
        """
        return self.judge(path).kind

    def matched(self, paths: Iterable[str], tree: Tree | None = None) -> Matched:
        """Which paths certainly are infrastructure code, and which nobody can tell.

        Args:
            paths: of one pull request.
            tree: the files as it left them. It is asked only if no path decides by itself, in at
                most two questions.
        """
        judged = {path: self.judge(path) for path in paths}
        if tree is not None and not _decides(judged):
            judged |= self._by_content(judged, tree)
            if not _decides(judged):
                judged |= self._by_markers(judged, tree)
        return Matched(
            kinds={path: str(j.kind) for path, j in judged.items() if j.kind and j.certain},
            open=tuple(path for path, judgement in judged.items() if not judgement.certain),
        )

    def settle(self, paths: Iterable[str], tree: Tree) -> dict[str, Judgement]:
        """What each path is, with the content of those that their path leaves open.

        A file that is gone is judged by its path. One that could not be read stays open.
        """
        judged = {path: self.judge(path) for path in paths}
        judged |= self._by_content(judged, tree)
        return judged | self._by_markers(judged, tree)

    def _by_content(self, judged: Mapping[str, Judgement], tree: Tree) -> dict[str, Judgement]:
        """The open paths, by what stands in them; likely ones first, if they are many."""
        opened = sorted(_open(judged), key=lambda path: judged[path].kind is None)
        asked = opened[:_MOST_CONTENTS]
        texts = tree.texts(asked) if asked else {}
        return {
            path: self._read(path, judged[path], texts[path]) for path in asked if path in texts
        }

    def _read(self, path: str, by_path: Judgement, text: str | None) -> Judgement:
        if text is None:
            return replace(by_path, certain=True, why=f"{by_path.why}; the file is gone")
        found = contents.kind_of(extension_of(path), text)
        if found and found[0] not in self._own:
            return Judgement(found[0], certain=True, why=found[1])
        silent = contents.is_silent(extension_of(path), text)
        return replace(by_path, read=True, silent=silent)

    def _by_markers(self, judged: Mapping[str, Judgement], tree: Tree) -> dict[str, Judgement]:
        """The paths that their content left open, by the files above them."""
        opened = {path: list(_markers_above(path)) for path in _open(judged)}
        asked = list(dict.fromkeys(chain.from_iterable(opened.values())))[:_MOST_MARKERS]
        there = tree.texts(asked) if asked else {}
        return {
            path: self._marked(path, judged[path], above, there) for path, above in opened.items()
        }

    def _marked(
        self, path: str, before: Judgement, above: Sequence[str], there: Mapping[str, str | None]
    ) -> Judgement:
        found = markers.kind_of(path.split("/"), extension_of(path), there)
        if found and found[0] not in self._own:
            return Judgement(found[0], certain=True, why=found[1])
        if not before.read or any(marker not in there for marker in above):
            return before
        if before.kind and (before.silent or not contents.can_tell(extension_of(path))):
            return replace(before, certain=True)
        why = "neither its content nor a file above it shows infrastructure code"
        return Judgement(None, certain=True, why=why)


def _decides(judged: Mapping[str, Judgement]) -> bool:
    return any(judgement.kind and judgement.certain for judgement in judged.values())


def _open(judged: Mapping[str, Judgement]) -> Iterator[str]:
    return (path for path, judgement in judged.items() if not judgement.certain)


def _markers_above(path: str) -> Iterator[str]:
    return markers.wanted(path.split("/"), extension_of(path))


_EXCLUDED: Final = frozenset[str](Excluded)


def _groups(own: Mapping[str, tuple[str, ...]]) -> Iterator[Group]:
    """All patterns in the order in which they decide; those of the policy replace a kind's."""
    names = [*Kind, *(name for name in own if name not in set[str](Kind))]
    yield from (Group(str(name), "never", lines) for name, lines in NEVER.items())
    yield from (
        Group(str(name), "policy", own[name])
        if name in own
        else Group(str(name), "certain", CERTAIN.get(name, ()))
        for name in names
    )
    yield from (Group(str(name), "beside", lines) for name, lines in BESIDE.items())
    yield from (
        Group(str(name), "place", lines) for name, lines in _in_order(PLACES) if name not in own
    )


def _in_order(patterns: Patterns) -> Iterator[tuple[Kind, tuple[str, ...]]]:
    return ((kind, patterns[kind]) for kind in Kind if kind in patterns)


def _judgement(group: Group, pattern: str) -> Judgement:
    if group.name in _EXCLUDED:
        why = f"{group.name.replace('_', ' ')}: {pattern}"
        return Judgement(None, certain=True, why=why, group=group.name)
    where = "github.kinds" if group.level == "policy" else group.name
    return Judgement(group.name, certain=True, why=f"{where}: {pattern}")


def _refuse_wrong(kinds: Mapping[str, Sequence[str]], exclude: Sequence[str]) -> None:
    issues = [
        *(("github.kinds", loc, problem) for loc, problem in wrong_kinds(kinds)),
        *(("github.exclude", loc, problem) for loc, problem in wrong_patterns(exclude)),
    ]
    if issues:
        findings = [Finding(at, ".".join(map(str, loc)), text) for at, loc, text in issues]
        raise InputError("reading the patterns of infrastructure code", findings)
