"""The beginnings of files as pull requests left them, of many pull requests in one question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xops.core.errors import XopsError
from xops.github.answers import Answer
from xops.github.batches import Batch
from xops.github.client import Client

TEXT_LIMIT = 64 << 10
"""Characters of a file that are given."""

_FILES = 200
"""Files in one question: none is a list, so that it costs 1 point."""

_OF_ONE = 50
"""Files of one pull request in one part of a question."""


@dataclass(frozen=True)
class Wanted:
    """Files of one repository at a commit: owner/name, the commit's oid or a branch, paths."""

    repository: str
    revision: str
    paths: tuple[str, ...]


def read_merged_texts(
    client: Client, wanted: Sequence[Wanted]
) -> list[dict[str, str | None] | XopsError]:
    """For each of `wanted`, the beginning of each of its files, or why none could be read.

    None: there is no such file, or it is binary. A path that is missing could not be read, as is
    every one if the commit cannot be seen.

    Raises:
        AccessError: the credential is refused.
        LimitError: a limit outlasts the patience.
        RefusedError: what answers is not GitHub.
    """
    found: list[dict[str, str | None] | XopsError] = [{} for _ in wanted]
    parts = [_Part(index, part) for index, one in enumerate(wanted) for part in _pieces(one)]
    batch: Batch[_Part] = Batch(
        client,
        lambda part: f"reading files of {part.wanted.repository}",
        lambda sent, patient: _ask(client, sent, patient),
        lambda index: (f"p{index}",),
    )
    for sent in _filled(parts):
        for part, answer in batch.ask(sent):
            known = found[part.index]
            if isinstance(answer, XopsError):
                found[part.index] = answer
            elif not isinstance(known, XopsError):
                with client.translate_errors(f"reading files of {part.wanted.repository}"):
                    known |= _texts(part.wanted.paths, answer)
    return found


@dataclass(frozen=True)
class _Part:
    index: int
    wanted: Wanted


def _pieces(one: Wanted) -> Iterator[Wanted]:
    for start in range(0, len(one.paths), _OF_ONE):
        yield Wanted(one.repository, one.revision, one.paths[start : start + _OF_ONE])


def _filled(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """The parts of one question after the other."""
    sent: list[_Part] = []
    for part in parts:
        if sent and sum(len(one.wanted.paths) for one in [*sent, part]) > _FILES:
            yield sent
            sent = []
        sent.append(part)
    if sent:
        yield sent


def _ask(client: Client, parts: Sequence[_Part], patient: bool) -> Answer:
    variables: dict[str, str] = {}
    for index, part in enumerate(parts):
        owner, _, name = part.wanted.repository.partition("/")
        revision = part.wanted.revision
        variables |= {f"o{index}": owner, f"n{index}": name, f"r{index}": revision}
        for place, path in enumerate(part.wanted.paths):
            variables[f"f{index}_{place}"] = f"{revision}:{path}"
    attempted = f"reading files of {parts[0].wanted.repository}"
    return client.graphql(_query(parts), variables, attempted, patient=patient)


def _query(parts: Sequence[_Part]) -> str:
    counts = [len(part.wanted.paths) for part in parts]
    declared = ", ".join(
        f"$o{i}: String!, $n{i}: String!, $r{i}: String!"
        + "".join(f", $f{i}_{j}: String!" for j in range(count))
        for i, count in enumerate(counts)
    )
    asked = "\n".join(
        f"p{i}: repository(owner: $o{i}, name: $n{i}) {{\n"
        # Without the commit every file is null, which says nothing of the file.
        f"revision: object(expression: $r{i}) {{ oid }}\n"
        + "\n".join(
            f"f{j}: object(expression: $f{i}_{j}) {{ ... on Blob {{ text }} }}"
            for j in range(count)
        )
        + "\n}"
        for i, count in enumerate(counts)
    )
    limit = "rateLimit { limit cost remaining resetAt }"
    return f"query Texts({declared}) {{\n{limit}\n{asked}\n}}\n"


def _texts(paths: Sequence[str], answer: Mapping[str, Any] | None) -> dict[str, str | None]:
    if answer is None or answer["revision"] is None:
        return {}
    return {path: _text(answer[f"f{index}"]) for index, path in enumerate(paths)}


def _text(blob: Any) -> str | None:
    """A blob's text; None if there is none, if it is a folder or a submodule, or binary."""
    text = blob.get("text") if isinstance(blob, dict) else None
    return text[:TEXT_LIMIT] if isinstance(text, str) else None
