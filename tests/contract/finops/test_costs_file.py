"""deployments/costs.yaml as committed, and the flow that reads it."""

from pathlib import Path

import pytest
import yaml

from xops.core.errors import InputError
from xops.core.files.settings import ROOT
from xops.finops.configuration import FILE, CostConfiguration
from xops.finops.store.ingest_run import exports_of


def test_the_committed_file_is_sound_and_makes_nothing_up() -> None:
    found = CostConfiguration.load(environ={})
    assert found.exports == ()
    assert found.exchange is None
    assert found.labour is None
    assert not found.accounts


def test_what_it_leaves_out_it_names_in_words() -> None:
    """Somebody who reads it learns how an export is named, without looking elsewhere."""
    text = FILE.read_text()
    example = text.partition("exports: []")[0]
    assert "location: s3://BUCKET/PREFIX/EXPORT" in example
    assert (ROOT / "docs" / "how-to" / "cost-data.md").is_file()


def test_tags_are_those_that_terraform_puts_on_resources() -> None:
    """A tag that no resource has tells nothing apart."""
    found = CostConfiguration.load(environ={}).tags
    sources = "\n".join(file.read_text() for file in (ROOT / "terraform").rglob("*.tf"))
    assert f"{found.environment} = var.environment" in sources
    assert f"{found.service} = var.service" in sources


def test_without_an_export_there_is_something_to_do() -> None:
    with pytest.raises(InputError, match="names no export") as refused:
        exports_of(CostConfiguration.load(environ={}), None, None)
    assert "xops costs ingest --from" in refused.value.remedy


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("s3://costs/exports/My Focus_Export/", "my-focus-export"),
        ("s3://costs", "costs"),
        ("/data/FOCUS", "focus"),
        ("s3://costs/exports/known", "named"),
    ],
)
def test_an_export_without_a_name_is_named_by_its_place(
    tmp_path: Path, location: str, name: str
) -> None:
    file = tmp_path / "costs.yaml"
    known = {"name": "named", "location": "s3://costs/exports/known"}
    file.write_text(yaml.safe_dump({"apiVersion": "xops/v1", "exports": [known]}))
    (export,) = exports_of(CostConfiguration.load(file, {}), location, None)
    assert export.name == name


@pytest.mark.parametrize(
    ("location", "name"), [("", None), ("http://x", None), ("x", "UPPER"), ("x", "cost explorer")]
)
def test_a_place_or_a_name_that_is_none_is_said(location: str, name: str | None) -> None:
    with pytest.raises(InputError, match="reading --from"):
        exports_of(CostConfiguration.load(environ={}), location, name)
