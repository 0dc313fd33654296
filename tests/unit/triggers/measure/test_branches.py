"""Whether what was merged into a branch counts, by what is known of the repository."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from xops.core.errors import TemporaryError
from xops.github.people.identities import Identity
from xops.github.records import Commit, MergedPullRequest, Records
from xops.triggers.measure.branches import Bases, Seen, Sighting, Standing

AT = datetime(2026, 11, 18, tzinfo=UTC)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
HOURS = st.integers(-200, 200).map(lambda hours: AT + timedelta(hours=hours))
BRANCHES = st.sampled_from(["main", "master", "develop", "feature", "live"])


def _request(number: int, base: str, at: datetime = AT, head: str = "topic") -> MergedPullRequest:
    return MergedPullRequest(
        id=f"PR_{number}", number=number, url="", title="", author=Identity(login="alice"),
        base=base, head=head, merged_at=at, updated_at=at, additions=1, deletions=0,
        changed_files=1, paths=["main.tf"], renames=False, merge_commit=f"oid{number}",
    )  # fmt: skip


def _records(*requests: MergedPullRequest, landed: bool = True) -> Records:
    commits = {one.merge_commit: Commit(at=one.merged_at, people=[]) for one in requests}
    return Records(
        name="octo/web",
        id="R_1",
        commits_from=AT - timedelta(days=90),
        pull_requests={one.id: one for one in requests},
        commits=commits if landed else {},
    )


def _standing(
    records: Records, request: MergedPullRequest, there: tuple[str, ...] = (), **seen: Sighting
) -> Standing:
    bases = Bases(records, Seen(default=seen), "main", (), lambda names: set(there), NOW)
    bases.look_up(records.pull_requests.values())
    return bases.standing(request)


def test_a_branch_that_is_gone_and_was_replaced_was_the_default_one() -> None:
    before, after = _request(1, "master"), _request(2, "main", AT + timedelta(hours=1))
    assert _standing(_records(before, after), before) == Standing(counts=True, former=True)


def test_what_never_reached_the_default_branch_does_not_count() -> None:
    stacked = _request(1, "feature")
    assert not _standing(_records(stacked, landed=False), stacked).may_count


def test_a_default_branch_that_was_renamed_and_rewritten_leaves_a_doubt() -> None:
    lost = _request(1, "master")
    assert _standing(_records(lost, landed=False), lost).doubt


def test_an_unusual_name_needs_several_to_have_been_the_default_branch() -> None:
    one, *more = [_request(number, "live", AT - timedelta(hours=number)) for number in range(1, 4)]
    assert _standing(_records(one, *more), one).counts
    alone = _standing(_records(one), one)
    assert not alone.counts
    assert "live may have been the default branch" in alone.doubt


def test_forks_that_merge_a_branch_of_the_former_name_are_no_stacked_changes() -> None:
    into = [_request(n, "live", AT - timedelta(hours=n), head="live") for n in range(1, 4)]
    later = _request(9, "main", AT, head="live")
    records = _records(*into, later)
    assert all(_standing(records, one) == Standing(counts=True, former=True) for one in into)


def test_patterns_decide_alone() -> None:
    request = _request(1, "release/1")
    bases = Bases(_records(request), Seen(), "main", ("release/*",), None, NOW)
    bases.look_up([request])
    assert bases.standing(request).counts
    assert not bases.standing(_request(2, "main")).may_count


def test_without_an_answer_nobody_can_tell() -> None:
    request = _request(1, "master")

    def fails(names: object) -> set[str]:
        raise TemporaryError("looking for branches", "GitHub answered 502", "Run it again.")

    bases = Bases(_records(request), Seen(), "main", (), fails, NOW)
    bases.look_up([request])
    assert (
        bases.standing(request).doubt
        == "#1 into master: whether master exists: GitHub answered 502"
    )


@given(st.lists(st.tuples(BRANCHES, HOURS, BRANCHES), max_size=8), st.sets(BRANCHES), HOURS, HOURS)
def test_whatever_is_known_a_pull_request_into_the_default_branch_counts_and_others_follow_it(
    merged: list[tuple[str, datetime, str]], there: set[str], first: datetime, last: datetime
) -> None:
    requests = [_request(n, base, at, head) for n, (base, at, head) in enumerate(merged, start=1)]
    seen = Sighting(first=min(first, last), last=max(first, last))
    records = _records(*requests)
    for request in requests:
        found = _standing(records, request, tuple(there), main=seen)
        assert not (found.counts and found.doubt)
        if request.base == "main":
            assert found.counts
        elif seen.first <= request.merged_at <= seen.last or request.base in there:
            assert not found.may_count
