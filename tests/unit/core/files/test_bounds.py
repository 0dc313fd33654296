"""Files and texts from outside: what is refused, with the line, and without a word of the text."""

import os
import socket
import time
from itertools import pairwise
from pathlib import Path

import pytest

from xops.core.files.bounded_json import parse_json
from xops.core.files.bounded_yaml import parse_yaml
from xops.core.files.reading import UnusableTextError, read_bytes, read_text


def laughs(levels: str = "abcdefgh") -> str:
    """Ninety million texts in three hundred characters."""
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for before, name in pairwise(levels):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        (laughs(), "stands for more than 50000 keys and values", 5),
        ("a: &a [*a]", "an alias leads back to what it is in", 1),
        ("a: &a {<<: *a}", "an alias leads back to what it is in", 1),
        ("a: *canary", "not YAML: found undefined alias", 1),
        ("[" * 5_000, "not YAML: exceeded maximum nesting depth", 1),
        ("- " * 5_000, "is nested deeper than 64 levels", 1),
        ("a: 1\nb: !!binary aGk=", "has a tag (!): write the value as it is, quoted if need be", 2),
        ("a: !canary x", "has a tag (!): write the value as it is, quoted if need be", 1),
        ("a:\n  b: .inf", "not YAML: is no finite number", 2),
        ("a: .NaN", "not YAML: is no finite number", 1),
        ("a: 1.0e+999", "not YAML: is no finite number", 1),
        ("a: 0000-01-01", "not YAML: is no date or time", 1),
        ("a: 2001-12-14t21:59:43-99:99", "not YAML: is no date or time", 1),
        ("? [a]\n: b", "not YAML: a key must be one word", 1),
        ('a: "canary\\0"', "not YAML: holds the character NUL", 1),
        ("a: 1\n\tb: 2", "not YAML: found a tab character: indent with spaces", 2),
        ("a: 1\nb: \x9b", "holds the control character U+009B", 2),
        ("a: 1\n---\nb: 2", "not YAML: but found another document", 2),
        ("x" * (1 << 21), "is larger than 1 MiB", None),
        ("a: &a '" + "x" * 400_000 + "'\nb: [" + "*a," * 40_000 + "]", "stands for more than", 2),
    ],
)
def test_yaml_that_means_harm_is_refused(text: str, problem: str, line: int | None) -> None:
    with pytest.raises(UnusableTextError) as caught:
        parse_yaml(text)
    assert caught.value.problem.startswith(problem)
    assert caught.value.line == line
    assert "canary" not in caught.value.problem


@pytest.mark.parametrize("digits", ["9" * 5_000, "0x" + "f" * 100_000, "0b" + "1" * 100_000])
def test_a_number_of_thousands_of_digits_is_refused(digits: str) -> None:
    with pytest.raises(UnusableTextError, match="more than 40 digits"):
        parse_yaml(f"a: {digits}")


def test_aliases_and_merges_within_bounds_are_taken() -> None:
    text = "base: &base {a: 1}\nmore: {<<: *base, b: 2}\nsame: *base"
    assert parse_yaml(text) == {"base": {"a": 1}, "more": {"a": 1, "b": 2}, "same": {"a": 1}}
    assert parse_yaml("") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[" * 100_000, "is nested deeper"),
        ("[" * 65 + "]" * 65, "is nested deeper"),
        ('{"a": 1, "a": 2}', "a key is given twice"),
        ("[NaN]", "holds NaN"),
        ("[-Infinity]", "holds -Infinity"),
        ("[1e999]", "holds a number that is not finite"),
        ("9" * 5_000, "holds a number of more than 400 digits"),
        ('"\\ud800"', "holds half of a character"),
        ('"\\u0000"', "holds the character NUL"),
        ('{"canary": canary}', "not JSON: Expecting value"),
        ("[" + "1," * 1_100_000 + "1]", "holds more than"),
    ],
)
def test_json_that_means_harm_is_refused(text: str, problem: str) -> None:
    with pytest.raises(UnusableTextError) as caught:
        parse_json(text)
    assert caught.value.problem.startswith(problem)
    assert "canary" not in caught.value.problem


def test_json_of_whole_characters_is_taken() -> None:
    assert parse_json('"\\ud83d\\ude00 \\u00e9"') == "😀 é"


@pytest.mark.parametrize("kind", ["pipe", "folder", "socket", "device"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "device":
        file.symlink_to("/dev/zero")
    bound = socket.socket(socket.AF_UNIX)
    try:
        if kind == "socket":
            bound.bind(str(file))
        started = time.monotonic()
        with pytest.raises(UnusableTextError, match=f"is a {kind}, not a file"):
            read_bytes(file)
        assert time.monotonic() - started < 5
    finally:
        bound.close()


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"1234")
    assert read_bytes(file, 4) == b"1234"
    with pytest.raises(UnusableTextError, match="is larger than 3 bytes"):
        read_bytes(file, 3)
    with pytest.raises(UnusableTextError, match="larger than 1 MiB"):
        read_bytes(_sparse(tmp_path), 1 << 20)


def _sparse(folder: Path) -> Path:
    file = folder / "sparse"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    return file


def test_a_byte_order_mark_is_named(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(b"\xef\xbb\xbfa: 1")
    with pytest.raises(UnusableTextError, match="byte order mark"):
        read_text(file)
