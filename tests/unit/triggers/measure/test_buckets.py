"""Bots, reverts and image bumps are counted apart from what people did."""

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.soak import examples
from xops.github.people.directory import Directory
from xops.github.people.identities import Identity
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
        (
            {"title": "chore(deps): update ghcr.io/x/web docker tag to v1"},
            ["helm"],
            Bucket.IMAGE_BUMP,
        ),
        ({"title": "Bump image tag for web"}, ["kustomize"], Bucket.IMAGE_BUMP),
        ({"title": "Update images"}, ["kubernetes"], Bucket.IMAGE_BUMP),
        ({"title": "deploy image web:1.4 to staging"}, ["kubernetes"], Bucket.IMAGE_BUMP),
        ({"title": "promote image sha-1f2e3d"}, ["kubernetes"], Bucket.IMAGE_BUMP),
        ({"title": "Bump image 1.25.3"}, ["kubernetes"], Bucket.IMAGE_BUMP),
        (
            {"title": "feat(container): update image ghcr.io/x/charts/web (0.7.0 ➔ 0.8.0)"},
            ["flux"],
            Bucket.IMAGE_BUMP,
        ),
        # A person changes something else of an image, in one line.
        ({"title": "Update image pull policy"}, ["kubernetes"], Bucket.COUNTED),
        ({"title": "update image pull policy of web to 2"}, ["kubernetes"], Bucket.COUNTED),
        ({"title": "Update the image's pull secret"}, ["helm"], Bucket.COUNTED),
        ({"title": "Bump image pull secrets for web"}, ["helm"], Bucket.COUNTED),
        ({"title": "Update image registry"}, ["helm"], Bucket.COUNTED),
        ({"title": "Upgrade image cache size to 20"}, ["helm"], Bucket.COUNTED),
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


@given(
    st.text(max_size=200), st.text(max_size=60), st.integers(0, 9), st.integers(0, 9),
    st.lists(st.sampled_from(["helm", "terraform", "own"]), max_size=2),
)  # fmt: skip
@examples(100)
def test_no_title_and_no_branch_is_too_strange(
    title: str, head: str, additions: int, deletions: int, kinds: list[str]
) -> None:
    request = merged(title=title, head=head, additions=additions, deletions=deletions)
    assert bucket(request, kinds, Directory()) in Bucket


def test_a_title_of_many_words_is_judged_at_once() -> None:
    title = "update " * 4_000 + "image " * 4_000
    begun = time.process_time()
    bucket(merged(title=title[:20_000]), ["helm"], Directory())
    assert time.process_time() - begun < 0.5


def test_evidence_shows_each_kind_first() -> None:
    matched = {f"{n}.tf": "terraform" for n in range(9)} | {"Chart.yaml": "helm"}
    assert deciding_paths(matched, most=3) == ("Chart.yaml", "0.tf", "1.tf")


@pytest.mark.parametrize("wrong", [{"number": 0}, {"number": -1}, {"additions": -1},
                                   {"changed_files": -1}])  # fmt: skip
def test_a_pull_request_that_cannot_be_is_none(wrong: dict[str, int]) -> None:
    """What cannot be evidence is refused when GitHub's answer is read, and not later."""
    with pytest.raises(ValidationError):
        merged(**wrong)
