"""Git's ids, against those that Git gives."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.github.pull_request.git_objects import (
    EXECUTABLE,
    FILE,
    FOLDER,
    Entry,
    blob_id,
    same_on_some_disk,
    tree_id,
    unsafe_name,
)

SHA1, SHA256 = "0" * 40, "0" * 64


@pytest.mark.parametrize(
    ("like", "blob", "tree"),
    [
        (
            SHA1,
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
        ),
        (
            SHA256,
            "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813",
            "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
        ),
    ],
)
def test_the_empty_file_and_the_empty_folder_have_the_ids_that_git_gives_them(
    like: str, blob: str, tree: str
) -> None:
    assert blob_id(b"", like) == blob
    assert tree_id([], like) == tree


def test_a_folder_is_sorted_as_if_its_name_ended_with_a_slash() -> None:
    file, folder, dotted = (
        Entry("a-b", FILE, "1" * 40),
        Entry("a", FOLDER, "2" * 40),
        Entry("a.b", EXECUTABLE, "3" * 40),
    )
    lines = [
        b"100644 a-b\0" + bytes.fromhex(file.id),
        b"100755 a.b\0" + bytes.fromhex(dotted.id),
        b"40000 a\0" + bytes.fromhex(folder.id),
    ]
    content = b"".join(lines)
    expected = hashlib.sha1(f"tree {len(content)}\0".encode() + content).hexdigest()  # noqa: S324
    assert tree_id([folder, dotted, file], SHA1) == expected


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_other_content_has_another_id(one: bytes, other: bytes) -> None:
    for like in (SHA1, SHA256):
        assert (blob_id(one, like) == blob_id(other, like)) == (one == other)
        assert len(blob_id(one, like)) == len(like)


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "a/b", "a\\b", "/etc", ".git", ".GIT", ".git ", ".git.", "git~1", "GIT~1",
        "a\n", "a\x1b[2J", "a\u202eb", ".g\u200cit", "a\0", "\uff0egit", "\ud800", "n" * 256,
        "\u00e4" * 128,
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_or_hides_is_unsafe(name: str) -> None:
    assert unsafe_name(name)


@pytest.mark.parametrize("name", ["main.tf", ".gitignore", ".terraform.lock.hcl", "a b", "grün"])
def test_a_usual_name_is_safe(name: str) -> None:
    assert unsafe_name(name) == ""


@given(st.text(max_size=20))
def test_every_name_is_judged_and_no_safe_one_leaves_its_folder(name: str) -> None:
    if not unsafe_name(name):
        assert "/" not in name
        assert name not in ("", ".", "..")
        assert name.isprintable()


@pytest.mark.parametrize(
    ("one", "other"), [("A.tf", "a.tf"), ("gr\u00fcn", "gru\u0308n"), ("STRASSE", "straße")]
)
def test_names_that_differ_by_case_or_composition_are_the_same_on_some_disk(
    one: str, other: str
) -> None:
    assert same_on_some_disk(one) == same_on_some_disk(other)
