"""What an export has delivered, by the names of its files and its manifests."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import InputError, TemporaryError
from xops.finops.store.exports.deliveries import find_deliveries, identity
from xops.finops.store.sources import Heard, Listed

DELIVERED = datetime(2026, 6, 1, 4, tzinfo=UTC)
DATA = "focus/data/BILLING_PERIOD=2026-05"
MANIFEST = "focus/metadata/BILLING_PERIOD=2026-05/focus-Manifest.json"


class Bucket:
    """A source whose files are names, each with when it was written and, if any, its content."""

    dates_are_deliveries = True

    def __init__(self, files: Mapping[str, tuple[int, object]]) -> None:
        self._files = files

    def address(self, name: str = "") -> str:
        return f"s3://costs/{name}"

    def list(self) -> list[Listed]:
        return [
            Listed(name, 1, DELIVERED + timedelta(seconds=later), f"version of {later}")
            for name, (later, _) in sorted(self._files.items())
        ]

    def read(self, file: Listed, most: int) -> bytes:
        content = self._files[file.name][1]
        return content if isinstance(content, bytes) else json.dumps(content).encode()

    def fetch(self, file: Listed, into: Path, heard: Heard) -> tuple[Path, str]:
        raise AssertionError("nothing is read to find out what there is")


def manifest(*names: str, execution: str = "e-1") -> dict[str, object]:
    return {"executionId": execution, "dataFiles": [f"s3://costs/{name}" for name in names]}


def of(files: Mapping[str, tuple[int, object]]) -> list[tuple[str | None, list[str], str | None]]:
    found = find_deliveries(Bucket(files))
    return [(one.month, [file.name for file in one.files], one.execution) for one in found]


def test_a_manifest_says_which_files_are_a_refresh() -> None:
    """What is left of a larger refresh is overwritten with nothing, and not named."""
    one, two, left = (f"{DATA}/focus-0000{n}.snappy.parquet" for n in (1, 2, 3))
    files = {one: (0, b""), two: (0, b""), left: (0, b""), MANIFEST: (5, manifest(one, two))}
    assert of(files) == [("2026-05", [one, two], "e-1")]


def test_where_each_refresh_is_kept_the_newest_counts() -> None:
    old, new = (f"{DATA}/2026-05-0{n}T04:00:00.000Z-e-{n}/focus-00001.csv.gz" for n in (1, 2))
    folder = "focus/metadata/BILLING_PERIOD=2026-05/2026-05-01T04:00:00.000Z-e-1"
    files = {
        old: (0, b""),
        new: (100, b""),
        MANIFEST: (105, manifest(new, execution="e-2")),
        f"{folder}/focus-Manifest.json": (5, manifest(old)),
    }
    assert of(files) == [("2026-05", [new], "e-2")]


def test_a_newer_refresh_that_is_not_complete_does_not_count_yet() -> None:
    old, new = (f"{DATA}/2026-05-0{n}T04:00:00.000Z-e-{n}/focus-00001.csv.gz" for n in (1, 2))
    assert of({old: (0, b""), new: (100, b""), MANIFEST: (5, manifest(old))})[0][1] == [old]


def test_a_refresh_that_lacks_a_file_is_refused() -> None:
    one, two = (f"{DATA}/focus-0000{n}.parquet" for n in (1, 2))
    with pytest.raises(TemporaryError, match=r"1 of its 2 files are not there: s3://costs/.*00002"):
        of({one: (0, b""), MANIFEST: (5, manifest(one, two))})


def test_a_refresh_half_way_over_the_one_before_is_refused() -> None:
    one, two = (f"{DATA}/focus-0000{n}.parquet" for n in (1, 2))
    with pytest.raises(TemporaryError, match="1 of its 2 files are newer than it"):
        of({one: (9, b""), two: (0, b""), MANIFEST: (5, manifest(one, two))})


def test_the_first_refresh_of_a_month_that_has_no_manifest_is_refused() -> None:
    one, other = f"{DATA}/focus-00001.parquet", DATA.replace("05", "04") + "/focus-00001.parquet"
    files = {
        one: (9, b""),
        other: (0, b""),
        MANIFEST.replace("05", "04"): (5, manifest(other)),
    }
    with pytest.raises(TemporaryError, match="2026-05: there are files and no manifest yet"):
        of(files)


def test_two_exports_are_not_taken_for_one() -> None:
    one = f"{DATA}/focus-00001.parquet"
    files = {
        one: (0, b""),
        MANIFEST: (5, manifest(one)),
        MANIFEST.replace("focus", "other"): (5, manifest(one)),
    }
    with pytest.raises(InputError, match="is of two exports"):
        of(files)


def test_a_copy_below_another_folder_is_the_same_export() -> None:
    one = "copy/of/data/BILLING_PERIOD=2026-05/focus-00001.parquet"
    named = "exports/focus/data/BILLING_PERIOD=2026-05/focus-00001.parquet"
    told = "copy/of/metadata/BILLING_PERIOD=2026-05/focus-Manifest.json"
    assert of({one: (0, b""), told: (5, manifest(named))})[0][1] == [one]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{", "not JSON"),
        (b"\xff", "no text in UTF-8"),
        ([], "no list dataFiles"),
        ({"dataFiles": "x"}, "no list dataFiles"),
        ({"dataFiles": [1]}, "no list dataFiles"),
        (manifest("elsewhere/focus.parquet"), "names a file of no place"),
        (manifest(f"{DATA}/../../../etc/passwd.csv"), "names a file of no place"),
    ],
)
def test_what_is_no_manifest_is_named(content: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        of({f"{DATA}/focus-00001.parquet": (0, b""), MANIFEST: (5, content)})


def test_a_folder_of_files_is_one_delivery_whose_rows_tell_the_month() -> None:
    files = {"b.csv.gz": (0, b""), "a.parquet": (0, b""), "notes.txt": (0, b"")}
    assert of(files) == [(None, ["a.parquet", "b.csv.gz"], None)]


def test_a_folder_without_charges_is_said() -> None:
    with pytest.raises(InputError, match=r"has no file that ends with \.parquet, \.csv\.gz, \.csv"):
        of({"notes.txt": (0, b"")})


@given(st.lists(st.text(max_size=5), max_size=5))
def test_an_identity_depends_on_the_parts_and_not_on_their_order(parts: list[str]) -> None:
    assert identity(parts) == identity(reversed(parts))
    assert identity([*parts, "more"]) != identity(parts)


def test_a_file_that_a_manifest_names_twice_is_one_file() -> None:
    one, two = (f"{DATA}/focus-0000{n}.parquet" for n in (1, 2))
    twice = manifest(one, two, one)
    twice["dataFiles"] = [*twice["dataFiles"], f"s3://elsewhere/{one}"]  # type: ignore[misc]
    assert of({one: (0, b""), two: (0, b""), MANIFEST: (5, twice)})[0][1] == [one, two]


def test_no_file_of_charges_is_left_out_for_the_letters_of_its_name() -> None:
    with pytest.raises(InputError, match=r"b\.CSV: does not end with .* in small letters"):
        of({"a.csv": (0, b""), "b.CSV": (0, b"")})
