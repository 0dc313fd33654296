"""What the source of each locked K3S release says: its log texts and its settings.

`source_facts.json` beside this module is written by scripts/k3s_source_facts.py from K3S's public
repository (k3s-io/k3s); it holds texts and names with file and commit, and no code. It has every
release that the lock has.
"""

from __future__ import annotations

import functools
from importlib import resources
from typing import Annotated

from pydantic import Field

from xops.core.files.bounded_json import parse_json
from xops.core.files.validation import Model

FILE = "source_facts.json"


class LogText(Model):
    """A text that K3S prints, as the format that its source has, and where it has it."""

    text: str
    file: str


class SourceFacts(Model):
    """One release.

    Attributes:
        commit: the one that was read.
        is_release: whether it is the release's own; else the newest of its line that could be had
            when this was written, of which the release was made.
        texts: by the expression of `xops.k3s.state.diagnosis` that finds it.
        settings: the keys of config.yaml, as the command line has them, by file.
    """

    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    is_release: bool
    texts: dict[str, LogText]
    settings: dict[str, tuple[str, ...]]

    @property
    def keys(self) -> frozenset[str]:
        """Every key that a config.yaml of this release may have."""
        return frozenset(key for keys in self.settings.values() for key in keys)


class _Known(Model):
    releases: dict[str, SourceFacts]


@functools.cache
def source_facts() -> dict[str, SourceFacts]:
    """By release; none of a release that was not locked when it was written."""
    text = resources.files(__package__ or "").joinpath(FILE).read_text(encoding="utf-8")
    return _Known.model_validate(parse_json(text)).releases
