"""Which delivery a run may name, and which one lets a merge group pass."""

from datetime import UTC, datetime
from typing import Any

import pytest

from xops.core.errors import InputError
from xops.github.delivery import Delivery
from xops.github.pull_request.facts import MergeGroupFacts
from xops.github.pull_request.handling.merge_group import refuse_unless_delivered
from xops.github.pull_request.handling.run import delivery_of

ID = "72d3162e-cc78-11e3-81ab-4c9367dc0958"
GROUP = MergeGroupFacts("acme/platform", "a" * 40, "main", "b" * 40, (), files_complete=True)


def delivery(**values: Any) -> Delivery:
    known = {"id": ID, "event": "pull_request", "hook_id": 1, "repository": "Acme/Platform"}
    rest = {"body_sha256": "f" * 64, "received_at": datetime(2026, 1, 1, tzinfo=UTC)}
    return Delivery.model_validate({**known, **rest, **values})


def test_a_delivery_about_the_pull_request_is_named() -> None:
    assert delivery_of(delivery(number=7), "acme/platform", 7) == ID


@pytest.mark.parametrize(
    "other",
    [None, delivery(number=8), delivery(number=None), delivery(number=7, repository="acme/other")],
)
def test_another_one_is_not(other: Delivery | None) -> None:
    assert delivery_of(other, "acme/platform", 7) == ""


def test_the_delivery_of_a_group_lets_it_pass() -> None:
    refuse_unless_delivered(
        GROUP, delivery(event="merge_group", head_sha="a" * 40, base_ref="main")
    )


@pytest.mark.parametrize(
    "other",
    [
        None,
        delivery(event="pull_request", head_sha="a" * 40, base_ref="main"),
        delivery(event="merge_group", head_sha="c" * 40, base_ref="main"),
        delivery(event="merge_group", head_sha="a" * 40, base_ref="release"),
        delivery(event="merge_group", head_sha="a" * 40, base_ref="main", repository="acme/other"),
    ],
)
def test_no_other_one_does(other: Delivery | None) -> None:
    with pytest.raises(InputError, match="no delivery of GitHub about it"):
        refuse_unless_delivered(GROUP, other)
