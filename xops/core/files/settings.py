"""Settings read in one order of precedence: defaults < file < environment variables < arguments.

A YAML file is read into a pydantic model. Everything wrong with it is reported at once, each
finding with the path of the value and its line in the file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from xops.core.errors import Finding, InputError

Path_ = tuple[str | int, ...]

ROOT = Path(__file__).resolve().parents[3]
"""The project's folder: flows, deployments and terraform are found below it."""


def home() -> Path:
    """Where xOps keeps what it makes: logs, working folders, local evidence.

    `XOPS_HOME`, or `.xops` in the project's folder.
    """
    return Path(os.environ.get("XOPS_HOME", ROOT / ".xops")).resolve()


def load[Model: BaseModel](
    model: type[Model],
    file: Path,
    *,
    prefix: str,
    environ: Mapping[str, str],
    arguments: Mapping[str, Any],
    reviewed: Collection[str] = (),
) -> Model:
    """Read `file` as `model`, then overlay environment variables and arguments.

    Args:
        model: the pydantic model; its defaults are the lowest layer.
        file: a YAML file holding one mapping.
        prefix: variables named `<prefix>A__B=value` set the value at `a.b`; values are YAML.
        environ: the environment variables to look in.
        arguments: dotted paths to values, None meaning "not given".
        reviewed: top-level keys that the file alone may set: policy is what was reviewed, not what
            the process that it binds was started with.

    Raises:
        InputError: with every finding at once.
    """
    document = _Document.read(file, reviewed)
    document.overlay_variables(prefix, environ)
    document.overlay_arguments(arguments)
    try:
        read = model.model_validate(document.values)
    except ValidationError as error:
        document.explain(error)
        raise document.error() from None
    document.raise_if_found()
    return read


class _Document:
    """One YAML mapping with where each of its values stands, and the findings about it."""

    def __init__(self, name: str, reviewed: Collection[str] = ()) -> None:
        self.name = name
        self._reviewed = frozenset(reviewed)
        self.values: dict[str, Any] = {}
        self._lines: dict[Path_, int] = {}
        self._sources: dict[Path_, str] = {}
        self._findings: list[Finding] = []

    @classmethod
    def read(cls, file: Path, reviewed: Collection[str]) -> _Document:
        document = cls(display(file), reviewed)
        try:
            document._parse(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise document._unusable(f"cannot be read: {error}") from error
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else None
            raise document._unusable(f"not YAML: {error.problem}", line) from error
        except (yaml.YAMLError, ValueError) as error:  # a control character, a 13th month
            raise document._unusable(f"not YAML: {error}") from error
        return document

    def _unusable(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"reading {self.name}", [Finding(self.name, "", message, line)])

    def _parse(self, text: str) -> None:
        loader = yaml.CSafeLoader(text)
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            raise self._unusable("must hold one mapping", 1)
        self._mark(root, ())
        self.values = loader.construct_document(root)

    def _mark(self, node: yaml.Node, path: Path_) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                inner = (*path, str(key.value))
                if inner in self._lines:
                    self._add(inner, "given twice", key.start_mark.line + 1)
                self._lines[inner] = key.start_mark.line + 1
                self._mark(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._mark(value, (*path, index))

    def overlay_variables(self, prefix: str, environ: Mapping[str, str]) -> None:
        for name, text in sorted(environ.items()):
            if not name.startswith(prefix):
                continue
            path = tuple(part.lower() for part in name.removeprefix(prefix).split("__"))
            try:
                self._set(path, yaml.safe_load(text), f"variable {name}")
            except (yaml.YAMLError, ValueError):
                self._findings.append(
                    Finding(f"variable {name}", "", f"not a YAML value: {text!r}")
                )

    def overlay_arguments(self, arguments: Mapping[str, Any]) -> None:
        for dotted, value in arguments.items():
            if value is not None:
                self._set(tuple(dotted.split(".")), value, f"argument {dotted}")

    def _set(self, path: tuple[str, ...], value: object, source: str) -> None:
        if path[0] in self._reviewed:
            message = f"is policy: only the reviewed file {self.name} sets it"
            self._findings.append(Finding(source, ".".join(path), message))
            return
        place = self.values
        for part in path[:-1]:
            inner = place.get(part)
            if isinstance(inner, list):
                dotted = ".".join(path)
                self._findings.append(Finding(source, dotted, f"{part} is a list: set it whole"))
                return
            if not isinstance(inner, dict):
                inner = place[part] = {}
            place = inner
        place[path[-1]] = value
        self._sources[path] = source

    def explain(self, error: ValidationError) -> None:
        for row in error.errors(include_url=False):
            path = _without_tags(tuple(row["loc"]), self.values)
            message = row["msg"].removeprefix("Value error, ")
            if row["type"] == "extra_forbidden":
                message = "is not a known key"
            elif row["type"] != "missing" and not isinstance(row["input"], dict | list):
                message = f"{message} (found {row['input']!r})"
            self._add(path, message)

    def _add(self, path: Path_, message: str, line: int | None = None) -> None:
        dotted = ".".join(str(part) for part in path)
        for prefix in _prefixes(path):
            if prefix in self._sources:
                self._findings.append(Finding(self._sources[prefix], dotted, message))
                return
        line = line or next(self._lines[p] for p in _prefixes(path) if p in self._lines)
        self._findings.append(Finding(self.name, dotted, message, line))

    def error(self) -> InputError:
        ordered = sorted(self._findings, key=lambda finding: finding.line or 0)
        return InputError(f"reading {self.name}", ordered)

    def raise_if_found(self) -> None:
        if self._findings:
            raise self.error()


def _without_tags(path: Path_, value: Any) -> Path_:
    """The path as the file has it: pydantic puts the tag of a union's member into it.

    A tag is told by not being a key where it stands; only the last part may be a key that is
    missing. So tags are named as no key beside them is.
    """
    if not path:
        return ()
    part, rest = path[0], path[1:]
    if isinstance(value, dict) and part in value:
        return (part, *_without_tags(rest, value[part]))
    if isinstance(value, list) and isinstance(part, int):
        return (part, *_without_tags(rest, value[part] if part < len(value) else None))
    if rest or not isinstance(value, dict):
        return _without_tags(rest, value)
    return path


def _prefixes(path: Path_) -> Iterator[Path_]:
    """The path itself, then each of the paths above it, the empty one last."""
    return (path[:length] for length in range(len(path), -1, -1))


def display(file: Path) -> str:
    """A path as people are shown it: from the project's folder if it lies within."""
    resolved = file.resolve()
    return str(resolved.relative_to(ROOT)) if resolved.is_relative_to(ROOT) else str(file)
