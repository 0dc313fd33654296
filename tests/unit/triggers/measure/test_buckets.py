"""Bots, reverts and image bumps are counted apart from what people did."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from xops.github.people import Directory, Identity
from xops.github.records import MergedPullRequest
from xops.triggers.facts import Bucket
from xops.triggers.measure.classification import bucket, deciding_paths

AT = datetime(2026, 11, 17, tzinfo=UTC)


def merged(**given: Any) -> MergedPullRequest:
    values: dict[str, Any] = {
        "id": "1", "number": 1, "url": "u", "title": "Add a queue", "author": Identity(login="a"),
        "base": "main", "head": "topic", "merged_at": AT, "updated_at": AT, "additions": 1,
        "deletions": 1, "changed_files": 1, "paths": [], "renames": False,
    }  # fmt: skip
    return MergedPullRequest(**{**values, **given})


@pytest.mark.parametrize(
    ("given", "kinds", "expected"),
    [
        ({}, ["terraform"], Bucket.COUNTED),
        ({"author": Identity(login="renovate", bot=True)}, ["helm"], Bucket.BOT),
        ({"author": Identity(login="x[bot]"), "title": 'Revert "A"'}, ["helm"], Bucket.BOT),
        ({"title": 'Revert "Add a queue"'}, ["terraform"], Bucket.REVERT),
        ({"title": "revert(vpc): add a queue"}, ["terraform"], Bucket.REVERT),
        ({"head": "revert-12-topic"}, ["terraform"], Bucket.REVERT),
        ({"title": "Reverting proxies for everybody"}, ["terraform"], Bucket.COUNTED),
        ({"title": "build: automatic update of web"}, ["kustomize"], Bucket.IMAGE_BUMP),
        ({"head": "image-updater-web-1"}, ["helm"], Bucket.IMAGE_BUMP),
        ({"title": "chore: bump web image to 1.2.3"}, ["kubernetes"], Bucket.IMAGE_BUMP),
        ({"title": "Update docker tag to v2"}, ["helm", "argo"], Bucket.IMAGE_BUMP),
        # It says so, but does more: lines are added, or Terraform is changed.
        ({"title": "chore: bump web image", "additions": 9}, ["helm"], Bucket.COUNTED),
        ({"title": "chore: bump web image"}, ["helm", "terraform"], Bucket.COUNTED),
        ({"title": "Update the pull policy"}, ["helm"], Bucket.COUNTED),
        ({"author": Identity()}, ["helm"], Bucket.COUNTED),
    ],
)
def test_each_is_counted_in_one_place(
    given: dict[str, Any], kinds: list[str], expected: Bucket
) -> None:
    assert bucket(merged(**given), kinds, Directory()) is expected


def test_evidence_shows_each_kind_first() -> None:
    matched = {f"{n}.tf": "terraform" for n in range(9)} | {"Chart.yaml": "helm"}
    assert deciding_paths(matched, most=3) == ("Chart.yaml", "0.tf", "1.tf")


@pytest.mark.parametrize("wrong", [{"number": 0}, {"number": -1}, {"additions": -1},
                                   {"changed_files": -1}])  # fmt: skip
def test_a_pull_request_that_cannot_be_is_none(wrong: dict[str, int]) -> None:
    """What cannot be evidence is refused when GitHub's answer is read, and not later."""
    with pytest.raises(ValidationError):
        merged(**wrong)
