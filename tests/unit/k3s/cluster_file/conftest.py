"""Cluster files that are the project's on-premises one but for some values."""

import copy
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.absent import GONE
from xops.core.errors import InputError
from xops.k3s.cluster_file.cluster import FOLDER, Cluster

ONPREM: dict[str, Any] = yaml.safe_load((FOLDER / "onprem.yaml").read_text())

Document = dict[str, Any]
Findings = Callable[..., dict[str, str]]


def changed(values: Document) -> Document:
    """The on-premises file with these values, by dotted path."""
    document = copy.deepcopy(ONPREM)
    for dotted, value in values.items():
        *path, last = (int(part) if part.isdigit() else part for part in dotted.split("."))
        place: Any = document
        for part in path:
            place = place[part] if isinstance(part, int) else place.setdefault(part, {})
        if value is GONE:
            del place[last]
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return document


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Document], Path]:
    """Writes a document as a cluster file in a folder of its own."""
    numbers = itertools.count()

    def written(document: Document) -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        file = folder / f"{document.get('name', 'onprem')}.yaml"
        file.write_text(json.dumps(document))  # is YAML as well, and written much faster
        return file

    return written


@pytest.fixture
def load(write: Callable[[Document], Path]) -> Callable[..., Cluster]:
    """The cluster of the on-premises file with these values."""
    return lambda values=None: Cluster.load(write(changed(values or {})), environ={})


@pytest.fixture
def findings(load: Callable[..., Cluster]) -> Findings:
    """What is found wrong with a file that holds these values, by path."""

    def found(values: Document) -> dict[str, str]:
        try:
            load(values)
        except InputError as error:
            return {row.path: row.message for row in error.findings}
        return {}

    return found


def host(name: str, address: str, role: str = "agent", **more: Any) -> Document:
    return {"name": name, "address": address, "role": role, **more}
