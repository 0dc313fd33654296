"""Settings: one order of precedence, and everything that is wrong at once, with its line."""

from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from xops.core.errors import InputError
from xops.core.files import settings


class Door(BaseModel):
    model_config = ConfigDict(extra="forbid")

    port: int = 80
    hosts: list[str] = []


class House(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    size: int = Field(default=1, ge=1)
    door: Door = Door()


def load(
    tmp_path: Path, text: str, environ: dict[str, str] | None = None, **arguments: Any
) -> House:
    file = tmp_path / "house.yaml"
    file.write_text(text, encoding="utf-8")
    return settings.load(House, file, prefix="HOUSE__", environ=environ or {}, arguments=arguments)


def findings(
    tmp_path: Path, text: str, environ: dict[str, str] | None = None, **arguments: Any
) -> list[tuple[str, int | None, str, str]]:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, environ, **arguments)
    name = str(tmp_path / "house.yaml")
    return [
        (finding.source.replace(name, "file"), finding.line, finding.path, finding.message)
        for finding in caught.value.findings
    ]


@pytest.mark.parametrize(
    ("text", "environ", "arguments", "port"),
    [
        ("name: a", {}, {}, 80),
        ("name: a\ndoor: {port: 1}", {}, {}, 1),
        ("name: a\ndoor: {port: 1}", {"HOUSE__DOOR__PORT": "2"}, {}, 2),
        ("name: a\ndoor: {port: 1}", {"HOUSE__DOOR__PORT": "2"}, {"door.port": 3}, 3),
        ("name: a\ndoor: {port: 1}", {"HOUSE__DOOR__PORT": "2"}, {"door.port": None}, 2),
        ("name: a", {"HOUSE__DOOR__PORT": "2"}, {}, 2),
        ("name: a\ndoor: null", {"HOUSE__DOOR__PORT": "2"}, {}, 2),
        ("name: a\ndoor: {port: 1}", {"OTHER__DOOR__PORT": "2"}, {}, 1),
        ("name: a\ndoor: {port: 1}", {"HOUSE__DOOR": "{port: 4}"}, {}, 4),
    ],
)
def test_default_then_file_then_variable_then_argument(
    tmp_path: Path, text: str, environ: dict[str, str], arguments: dict[str, Any], port: int
) -> None:
    assert load(tmp_path, text, environ, **arguments).door.port == port


def test_a_layer_above_changes_one_value_and_leaves_its_neighbours(tmp_path: Path) -> None:
    house = load(tmp_path, "name: a\ndoor: {port: 1, hosts: [x]}", {"HOUSE__DOOR__PORT": "2"})

    assert house.door == Door(port=2, hosts=["x"])


def test_a_variable_s_value_is_yaml(tmp_path: Path) -> None:
    assert load(tmp_path, "name: a", {"HOUSE__DOOR__HOSTS": "[x, y]"}).door.hosts == ["x", "y"]


def test_everything_that_is_wrong_is_reported_at_once_in_the_order_of_the_file(
    tmp_path: Path,
) -> None:
    text = "size: 0\ncolour: red\ndoor:\n  port: http\n  hosts:\n    - x\n    - 5\n"

    assert findings(tmp_path, text) == [
        ("file", 1, "name", "Field required"),
        ("file", 1, "size", "Input should be greater than or equal to 1 (found 0)"),
        ("file", 2, "colour", "is not a known key"),
        (
            "file",
            4,
            "door.port",
            "Input should be a valid integer, unable to parse string as an integer (found 'http')",
        ),
        ("file", 7, "door.hosts.1", "Input should be a valid string (found 5)"),
    ]


def test_a_finding_names_the_layer_that_its_value_came_from(tmp_path: Path) -> None:
    environ = {"HOUSE__DOOR__PORT": "far", "HOUSE__SIZE": "0"}

    found = findings(tmp_path, "name: a\nsize: 2", {**environ}, **{"door.hosts": "x"})

    assert {row[:3] for row in found} == {
        ("variable HOUSE__DOOR__PORT", None, "door.port"),
        ("variable HOUSE__SIZE", None, "size"),
        ("argument door.hosts", None, "door.hosts"),
    }


def test_a_wrong_value_inside_a_variable_s_mapping_names_the_variable(tmp_path: Path) -> None:
    found = findings(tmp_path, "name: a\ndoor: {port: 1}", {"HOUSE__DOOR": "{port: far}"})

    assert [row[:3] for row in found] == [("variable HOUSE__DOOR", None, "door.port")]


def test_a_variable_cannot_reach_into_a_list(tmp_path: Path) -> None:
    found = findings(tmp_path, "name: a\ndoor: {hosts: [x, y]}", {"HOUSE__DOOR__HOSTS__0": "z"})

    assert found == [
        ("variable HOUSE__DOOR__HOSTS__0", None, "door.hosts.0", "hosts is a list: set it whole")
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[canary", "did not find expected ',' or ']'"),
        ("'canary", "found unexpected end of stream"),
        ("2026-13-01", "month must be in 1..12"),
        ("canary\x07", "holds the control character U+0007"),
        ("canary\udc80", "not YAML"),
        ("!canary x", "has a tag (!): write the value as it is, quoted if need be"),
    ],
)
def test_a_variable_that_is_no_yaml_value_is_named_and_not_shown(
    tmp_path: Path, text: str, problem: str
) -> None:
    found = findings(tmp_path, "name: a", {"HOUSE__NAME": text})

    assert found == [("variable HOUSE__NAME", None, "", f"not a YAML value: {problem}")]


def test_a_key_given_twice_is_found_together_with_everything_else(tmp_path: Path) -> None:
    text = "name: a\nsize: 0\ndoor:\n  port: 1\n  port: 2\nname: b\n"

    assert [row[1:] for row in findings(tmp_path, text)] == [
        (2, "size", "Input should be greater than or equal to 1 (found 0)"),
        (5, "door.port", "given twice"),
        (6, "name", "given twice"),
    ]


def test_a_key_given_twice_is_refused_where_all_else_is_right(tmp_path: Path) -> None:
    assert findings(tmp_path, "name: a\nname: a\n") == [("file", 2, "name", "given twice")]


def test_the_same_key_in_two_items_of_a_list_is_not_given_twice(tmp_path: Path) -> None:
    house = load(tmp_path, "name: a\ndoor: &x {port: 1}\n")

    assert house.door.port == 1
    found = findings(tmp_path, "name: a\ndoor: {hosts: [{a: 1}, {a: 1}]}\n")
    assert all("given twice" not in row[3] for row in found)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: [a\nsize: 1\n", 2, "not YAML: did not find expected ',' or ']'"),
        ("name: a\n\tsize: 1\n", 2, "not YAML: found a tab character"),
        ("name: a\nsize: \x00\n", 2, "holds the control character U+0000"),
        ("name: 2026-13-01\n", 1, "not YAML: month must be in 1..12"),
        ("{a: b}: c\n", 1, "not YAML: a key must be one word"),
        ("- name: a\n", 1, "must hold one mapping"),
        ("", 1, "must hold one mapping"),
        ("just text", 1, "must hold one mapping"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused_where_it_breaks(
    tmp_path: Path, text: str, line: int | None, message: str
) -> None:
    [(source, found_line, path, found)] = findings(tmp_path, text)

    assert (source, found_line, path) == ("file", line, "")
    assert found.startswith(message)


def test_a_file_that_is_no_text_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "house.yaml"
    file.write_bytes(b"name: \xff")

    with pytest.raises(InputError, match="cannot be read: it is no text in UTF-8"):
        settings.load(House, file, prefix="HOUSE__", environ={}, arguments={})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "none.yaml"

    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: .*No such file"):
        settings.load(House, file, prefix="HOUSE__", environ={}, arguments={})


def test_a_file_of_the_project_is_named_from_its_root() -> None:
    file = settings.ROOT / "deployments" / "environments" / "none.yaml"

    with pytest.raises(InputError, match=r"^reading deployments/environments/none\.yaml: "):
        settings.load(House, file, prefix="HOUSE__", environ={}, arguments={})


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")

    claws: int = Field(ge=0)


class Fish(BaseModel):
    model_config = ConfigDict(extra="forbid")

    fins: int
    tank: Door = Door()


KINDS = {"fins": "a fish", "claws": "a cat"}


def _kind(value: Any) -> str | None:
    given = value if isinstance(value, dict) else {}
    return (
        "a cat"
        if "claws" in given and "fins" not in given
        else "a fish"
        if "fins" in given
        else None
    )


class Pets(BaseModel):
    by_name: dict[
        str,
        Annotated[
            Annotated[Cat, Tag("a cat")] | Annotated[Fish, Tag("a fish")],
            Discriminator(_kind, custom_error_type="kind", custom_error_message="is no pet"),
        ],
    ]


@pytest.mark.parametrize(
    ("pet", "path", "line", "message"),
    [
        (
            "claws: -1",
            "by_name.tom.claws",
            3,
            "Input should be greater than or equal to 0 (found -1)",
        ),
        ("fins: 2\n    claws: 1", "by_name.tom.claws", 4, "is not a known key"),
        ("fins: 2\n    tank: {port: x}", "by_name.tom.tank.port", 4, "unable to parse"),
        ("fins: 2\n    tank: {hosts: [1]}", "by_name.tom.tank.hosts.0", 4, "valid string"),
        ("wings: 2", "by_name.tom", 2, "is no pet"),
    ],
)
def test_the_tag_of_a_union_is_no_part_of_the_path(
    tmp_path: Path, pet: str, path: str, line: int, message: str
) -> None:
    file = tmp_path / "pets.yaml"
    file.write_text(f"by_name:\n  tom:\n    {pet}\n")
    with pytest.raises(InputError) as caught:
        settings.load(Pets, file, prefix="", environ={}, arguments={})
    (finding,) = [row for row in caught.value.findings if row.path == path]
    assert (finding.line, finding.path) == (line, path)
    assert message in finding.message


def test_a_key_that_a_unions_member_misses_is_named(tmp_path: Path) -> None:
    file = tmp_path / "pets.yaml"
    file.write_text("by_name:\n  nemo: {fins: 2, tank: {}, claws: 1}\n  tom: 1\n")
    with pytest.raises(InputError) as caught:
        settings.load(Pets, file, prefix="", environ={}, arguments={})
    assert "a fish" not in str(caught.value)
