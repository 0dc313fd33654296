"""Which readings continue each other: of the same repositories by id, the same rules and weeks."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.soak import examples
from tests.unit.triggers.samples import IAC_PRS, POLICY, facts, origin, policy
from xops.triggers.identity import SeriesDocument, continued, describe, differences

BASE = origin("acme/a")


def described(name: str = "iac_prs", *, rules: Any = None, **others: Any) -> SeriesDocument:
    found = policy(**rules or {})
    return describe(found.name, name, found.triggers[name], facts([0], **others))


def of(*repositories: Any, **values: Any) -> SeriesDocument:
    return described(origin=origin(*repositories, **values))


def test_a_repository_that_cannot_be_read_is_still_the_same() -> None:
    assert continued(of("acme/a"), of(("acme/a", "")))
    learnt = continued(of(("acme/a", "")), of("acme/a"))
    assert learnt
    assert learnt.repositories[0].id == "id of acme/a"
    assert learnt.root == of(("acme/a", "")).root != learnt.digest
    # What was learnt is not forgotten: another repository of that name is another series.
    assert continued(learnt, of(("acme/a", "another"))) is None


def test_a_renamed_repository_is_still_the_same() -> None:
    renamed = continued(of(("acme/a", "1")), of(("acme/new", "1")))
    assert renamed
    assert renamed.repositories[0].asked == ("acme/a", "acme/new")
    # Under the new name it may be unreadable, too.
    again = continued(renamed, of(("acme/new", "")))
    assert again == renamed


def test_a_repository_under_two_names_is_one() -> None:
    assert continued(of(("acme/a", "1")), of(("acme/a", "1"), ("acme/b", "1")))
    both = of(("acme/a", "1"), ("acme/b", "1"))
    assert len(both.repositories) == 1
    assert continued(of(("acme/a", ""), ("acme/b", "")), both)


def test_letters_case_and_order_make_no_difference() -> None:
    assert of(("Acme/A", "1"), ("acme/b", "2")) == of(("acme/b", "2"), ("acme/a", "1"))
    assert of("a/a", api_url="https://GHE.example.com/api/v3/") == of(
        "a/a", api_url="https://ghe.example.com/api/v3"
    )
    assert of("a/a", branches=["x", "main"]) == of("a/a", branches=["main", "x"])


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (("acme/a",), ("acme/a", "acme/b"), ("measured from acme/b as well",)),
        (("acme/a", "acme/b"), ("acme/b",), ("no longer measured from acme/a",)),
        (("acme/a",), (("acme/a", "other"),), ("acme/a is another repository now",)),
        (("acme/a",), ("acme/b",),
         ("measured from acme/b as well", "no longer measured from acme/a")),
    ],
)  # fmt: skip
def test_other_repositories_are_another_series(before: Any, now: Any, changed: Any) -> None:
    assert continued(of(*before), of(*now)) is None
    assert differences(of(*before), of(*now)) == changed


@pytest.mark.parametrize(
    ("values", "said", "others"),
    [
        ({"classification": "c2"}, "patterns of kinds", {"team_size", "second_cloud"}),
        ({"machines": "m2"}, "machines are told from people", {"second_cloud"}),
        ({"people": "p2"}, "people are counted", {"iac_prs", "second_cloud"}),
        ({"mandates": "d2"}, "mandates count", {"iac_prs", "team_size"}),
        ({"branches": ["release"]}, "merged into release as well", {"team_size", "second_cloud"}),
        ({"selections": ["acme/*"]}, "measured from acme/* as well", {"second_cloud"}),
        ({"api_url": "https://ghe"}, "GitHub is https://ghe instead of", {"second_cloud"}),
    ],
)
def test_what_matters_to_a_trigger_starts_another_series_of_it(
    values: dict[str, Any], said: str, others: set[str]
) -> None:
    for name in POLICY["triggers"]:
        before = described(name, origin=BASE)
        now = described(name, origin={**BASE, **values})
        assert (continued(before, now) is not None) == (name in others)
        if name not in others:
            assert said in " ".join(differences(before, now))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"enter": {"above": 6}}, "the threshold: > 6 instead of > 5 in 3 of 4 weeks"),
        ({"leave": {"at_or_below": 2}}, "the exit's threshold: <= 2 in 4 of 4 instead of <= 3"),
        ({"dwell_weeks": 9}, "the dwell: 9 instead of 4"),
    ],
)
def test_another_rule_is_another_series(change: dict[str, Any], said: str) -> None:
    rules = {"triggers": {**POLICY["triggers"], "iac_prs": {**IAC_PRS, **change}}}
    before, now = described(origin=BASE), described(origin=BASE, rules=rules)
    assert continued(before, now) is None
    (text,) = differences(before, now)
    assert text.startswith(said)


def test_owners_reviews_and_words_change_no_series() -> None:
    words = {"owner": "another", "review_by": "2030-01-01", "beside": {"above": 5}}
    rules = {"triggers": {**POLICY["triggers"], "iac_prs": {**IAC_PRS, **words}}}
    assert described(origin=BASE, rules=rules) == described(origin=BASE)


def test_another_zone_and_another_source_are_another_series() -> None:
    before, now = described(origin=BASE), described(origin=BASE, timezone="Europe/Berlin")
    assert continued(before, now) is None
    assert differences(before, now) == (
        "the time zone is Europe/Berlin instead of Australia/Sydney",
    )
    assert continued(described(source="a"), described(source="a"))
    assert differences(described(source="a"), described(source="b")) == (
        "the facts come from b instead of a",
    )
    (said,) = differences(described(source="github"), described(origin=BASE))
    assert "which those of github did not" in said
    assert differences(described(origin=BASE), described(source="me")) == (
        "the facts of me do not say what they were measured from",
    )


def test_an_owner_of_a_selection_is_the_same_by_id_or_by_name_where_one_is_not_known() -> None:
    """A list that is refused to who has not seen it before leaves the id unknown."""
    unread, read = of(selections=["acme name=*"]), of(selections=["acme=O_1 name=*"])
    learnt = continued(unread, read)
    assert learnt
    assert (learnt.selections, learnt.root) == (read.selections, unread.root)
    assert continued(learnt, unread) == learnt
    assert continued(read, unread) == read
    renamed = of(selections=["new=O_1 name=*"])
    assert continued(read, renamed)
    assert differences(read, renamed) == ()
    for other in ("acme=O_2 name=*", "acme=O_1 topic=x name=*", "b name=*"):
        assert continued(read, of(selections=[other])) is None
        assert len(differences(read, of(selections=[other]))) == 2
    assert continued(read, of(selections=["acme=O_1 name=*", "b name=*"])) is None
    assert continued(of(selections=["acme name=*", "b name=*"]), read) is None


def test_two_policies_have_series_of_their_own() -> None:
    assert described(origin=BASE) != described(origin=BASE, rules={"name": "home"})


def test_a_series_is_told_in_words() -> None:
    found = of(("acme/a", "1"), branches=["main"], selections=["acme: topic infra"])
    assert found.lines() == (
        "trigger iac_prs of the policy platform",
        "metric iac_prs, threshold > 5 in 3 of 4 weeks, exit's threshold <= 3 in 4 of 4, dwell 4",
        "weeks start in Australia/Sydney",
        "GitHub at https://api.github.com",
        "repository acme/a (id 1)",
        "repositories of acme: topic infra",
        "merged into main",
        "the rules that classify paths (patterns of kinds, exclusions, release): c1",
        "the rules by which machines are told from people (bots): m1",
    )


REPOSITORIES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from(["", "1", "2", "3"])), max_size=5
)


@examples(200)
@given(REPOSITORIES, REPOSITORIES)
def test_a_series_with_what_was_learnt_is_continued_by_the_same_again(
    known: list[tuple[str, str]], now: list[tuple[str, str]]
) -> None:
    before, after = of(*known), of(*now)
    assert continued(before, before) == before
    merged = continued(before, after)
    if merged is None:
        assert continued(after, before) is None
    else:
        assert merged.root == before.root
        ids = {id_ for _, id_ in known} | {id_ for _, id_ in now}
        assert {row.id for row in merged.repositories} <= ids
