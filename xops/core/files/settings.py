"""Settings read in one order of precedence: defaults < file < environment variables < arguments.

A YAML file is read into a pydantic model. Everything wrong with it is reported at once, each
finding with the path of the value and its line in the file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, RootModel, ValidationError

from xops.core.errors import Finding, InputError
from xops.core.files.bounded_json import parse_json
from xops.core.files.bounded_yaml import YamlText, parse_yaml
from xops.core.files.reading import UnusableTextError, read_text
from xops.core.files.validation import message_of
from xops.core.rendering import hide_credentials

Path_ = tuple[str | int, ...]

ROOT = Path(__file__).resolve().parents[3]
"""The project's folder: flows, deployments and terraform are found below it."""


def home() -> Path:
    """Where xOps keeps what it makes: logs, working folders, local evidence.

    `XOPS_HOME`, or `.xops` in the project's folder.
    """
    return Path(os.environ.get("XOPS_HOME", ROOT / ".xops")).resolve()


def seconds(environ: Mapping[str, str], name: str, default: int) -> int:
    """How long a variable says to wait.

    Raises:
        InputError: it is no whole number of seconds.
    """
    given = environ.get(name, str(default))
    if not given.isdecimal():
        finding = Finding(name, "", f"{given!r} is no whole number of seconds")
        raise InputError("reading the environment variables", [finding])
    return int(given)


def load[Model: BaseModel](
    model: type[Model],
    file: Path,
    *,
    prefix: str,
    environ: Mapping[str, str],
    arguments: Mapping[str, Any],
    reviewed: Collection[str] = (),
    context: Mapping[str, Any] | None = None,
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
    document.refuse_another_kind(model)
    document.overlay_variables(prefix, environ)
    document.overlay_arguments(arguments)
    return document.validated(model, context)


def find_lines(file: Path) -> Mapping[Path_, int]:
    """Where each value of a YAML file stands, from 1; what does not stand in it is left out.

    Raises:
        InputError: the file cannot be read, or is no YAML.
    """
    return _Document.read(file, ()).lines


def load_json[Model: BaseModel](model: type[Model], file: Path, text: str) -> Model:
    """Read a JSON text that is too large to be looked through for lines.

    Args:
        model: what it is.
        file: where it came from, for messages.
        text: its content.

    Raises:
        InputError: with every finding at once, without lines.
    """
    try:
        document = _Document.of_json(file, text)
    except UnusableTextError as error:
        raise unusable(file, error) from None
    document.refuse_another_kind(model)
    return document.validated(model)


def unusable(file: Path, error: UnusableTextError) -> InputError:
    """A file that cannot be taken at all, as bad input."""
    name = display(file)
    return InputError(f"reading {name}", [Finding(name, "", error.problem, error.line)])


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
            document._parse(read_text(file))
        except UnusableTextError as error:
            raise document.unusable(error.problem, error.line) from None
        return document

    @classmethod
    def of_json(cls, file: Path, text: str) -> _Document:
        document = cls(display(file))
        document.values = parse_json(text)
        if not isinstance(document.values, dict):
            raise document.unusable("must hold one mapping", 1)
        return document

    @property
    def lines(self) -> Mapping[Path_, int]:
        return self._lines

    def validated[Model: BaseModel](
        self, model: type[Model], context: Mapping[str, Any] | None = None
    ) -> Model:
        try:
            read = model.model_validate(self.values, context=context)
        except ValidationError as error:
            self.explain(error)
            raise self.error() from None
        except (ArithmeticError, RecursionError):  # a day of the year 9999, and a week after it
            message = "holds a date or a number that nobody can calculate with"
            raise self.unusable(message) from None
        self.raise_if_found()
        return read

    def unusable(self, message: str, line: int | None = None) -> InputError:
        return InputError(f"reading {self.name}", [Finding(self.name, "", message, line)])

    def _parse(self, text: str) -> None:
        parsed = YamlText(text)
        if not isinstance(parsed.root, yaml.MappingNode):
            raise self.unusable("must hold one mapping", 1)
        self._mark(parsed.root, ())
        self.values = parsed.values()

    def _mark(self, node: yaml.Node, path: Path_) -> None:
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue  # refused when its value is made
                inner = (*path, key.value)
                if inner in self._lines:
                    self._add(inner, "given twice", key.start_mark.line + 1)
                self._lines[inner] = key.start_mark.line + 1
                self._mark(value, inner)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                self._mark(value, (*path, index))

    def overlay_variables(self, prefix: str, environ: Mapping[str, str]) -> None:
        for name, text in sorted(environ.items()):
            if not prefix or not name.startswith(prefix):
                continue
            path = tuple(part.lower() for part in name.removeprefix(prefix).split("__"))
            try:
                self._set(path, parse_yaml(text), f"variable {name}")
            except UnusableTextError as error:
                # Not what it holds: that may be a secret.
                message = f"not a YAML value: {error.problem.removeprefix('not YAML: ')}"
                self._findings.append(Finding(f"variable {name}", "", message))

    def refuse_another_kind(self, model: type[BaseModel]) -> None:
        """Refuse a file that has not one of the model's keys: what its keys are is not told.

        It may be any file, of which somebody wants to know what stands in it.
        """
        if self.values and set(_known_keys(model)).isdisjoint(self.values):
            raise self.unusable("is no file of this kind: it has none of its keys", 1)

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
            message = message_of(row)
            if row["type"] == "extra_forbidden":
                path, message = _unknown_key(path)
            elif row["type"] != "missing" and _may_be_shown(path, row["input"]):
                message = f"{message} (found {_shortened(repr(row['input']))})"
            self._add(path, message)

    def _add(self, path: Path_, message: str, line: int | None = None) -> None:
        line = line or next((self._lines[p] for p in _prefixes(path) if p in self._lines), None)
        dotted = hide_credentials(".".join(_shortened(str(part)) for part in path))
        message = hide_credentials(message)
        for prefix in _prefixes(path):
            if prefix in self._sources:
                self._findings.append(Finding(self._sources[prefix], dotted, message))
                return
        self._findings.append(Finding(self.name, dotted, message, line))

    def error(self) -> InputError:
        ordered = sorted(self._findings, key=lambda finding: finding.line or 0)
        if len(ordered) > _MOST_FINDINGS:
            more = f"and {len(ordered) - _MOST_FINDINGS} more"
            ordered = [*ordered[:_MOST_FINDINGS], Finding(self.name, "", more)]
        return InputError(f"reading {self.name}", ordered)

    def raise_if_found(self) -> None:
        if self._findings:
            raise self.error()


_SECRET = re.compile(
    "pass|secret|token|credential|key|auth|private|cookie|session|environ|hook",
    re.IGNORECASE,
)
"""Names of places where a secret stands, or is put by mistake: what is found there is not shown."""

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")
_MOST_SHOWN = 80
_MOST_FINDINGS = 100


def _may_be_shown(path: Path_, found: object) -> bool:
    return not isinstance(found, dict | list) and not any(_SECRET.search(str(p)) for p in path)


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _known_keys(kind: Any) -> Iterator[str]:
    """The top-level keys of a model, or of all models of a union."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        for inner in get_args(kind):
            yield from _known_keys(inner)
    elif issubclass(kind, RootModel):
        yield from _known_keys(kind.model_fields["root"].annotation)
    else:
        for name, field in kind.model_fields.items():
            yield from (name, field.alias or name)


def _unknown_key(path: Path_) -> tuple[Path_, str]:
    """Where an unknown key stands; its name only if it looks like one, and never its value."""
    if _KEY.fullmatch(str(path[-1])):
        return path, "is not a known key"
    return path[:-1], "has a key that is not known"


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
