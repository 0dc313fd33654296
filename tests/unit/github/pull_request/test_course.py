"""What is done with a pull request as it is now."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.pull_request_values import ENVIRONMENTS, FACTS, HEAD, SHOWN, facts, plan, shown
from tests.soak import examples
from xops.core.errors import TemporaryError
from xops.github.policy import Isolation, PullRequests
from xops.github.pull_request.course import (
    Comment,
    Course,
    Rights,
    Wake,
    decide,
    decide_merge_group,
    is_trusted_base,
)
from xops.github.pull_request.facts import ChangedFile, MergeGroupFacts, PullRequestFacts

RIGHTS = Rights(approvers=frozenset({"bob"}), commanders=frozenset({"carl"}))
BEFORE = PullRequests()
AFTER = PullRequests(apply="after_merge")
FOLDER = "deployments/environments"


def course(
    given: PullRequestFacts = FACTS,
    rules: PullRequests = BEFORE,
    *,
    command: str = "",
    sender: str = "bob",
    environments: Sequence[str] = ENVIRONMENTS,
    **values: Any,
) -> Course:
    wake = Wake(command, sender)
    return decide(given, rules, environments, wake, rights=RIGHTS, **values)


def said(found: Course) -> str:
    return "\n".join(found.notes)


# Which environments


def test_an_environments_file_is_planned_and_applied_where_reviews_release_it() -> None:
    found = course()
    assert found.plan == found.apply == found.locks == ("test",)
    assert (found.take_locks, found.comment, found.notes) == (True, Comment.WRITE, ())
    assert found.reports
    assert found.may_apply


@pytest.mark.parametrize(
    "path",
    [
        "terraform/modules/ecs/main.tf",
        "terraform/stacks/stream1/main.tf",
        "terraform/README.md",
        "terraform/modules/ecs/tests/ecs.tftest.hcl",
        "terraform/stacks/new-file",
    ],
)
def test_a_change_below_terraform_concerns_all_environments(path: str) -> None:
    assert course(facts(path)).plan == ENVIRONMENTS


def test_the_policy_says_which_environments_modules_concern() -> None:
    rules = PullRequests(modules_concern=("test", "uat"))
    found = course(facts("terraform/modules/ecs/main.tf", f"{FOLDER}/prod.yaml"), rules)
    assert found.plan == ("prod", "test")
    assert "`modules_concern` names what the base branch has no file of: uat." in said(found)


def test_names_that_are_all_unknown_leave_nothing_out() -> None:
    rules = PullRequests(modules_concern=("uat",))
    assert course(facts("terraform/a.tf"), rules).plan == ENVIRONMENTS


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "terraform/stacks/k3s_hosts/main.tf",
        "modules/terraform/main.tf",
        "Terraform/main.tf",
        f"{FOLDER}/schema.json",
        f"{FOLDER}/test.yml",
        f"{FOLDER}/Test.yaml",
        f"{FOLDER}/old/test.yaml",
        f"x/{FOLDER}/test.yaml",
        f"{FOLDER}/test.yaml\n",
        f"{FOLDER}/@everyone.yaml",
    ],
)
def test_what_touches_nothing_gets_green_checks_and_no_comment(path: str) -> None:
    found = course(facts(path))
    assert found.green == "touches neither terraform/ nor an environment file"
    assert (found.plan, found.locks, found.comment) == ((), (), Comment.UPDATE_ONLY)


def test_a_list_of_files_that_is_cut_concerns_all_environments() -> None:
    found = course(facts("README.md", files_complete=False))
    assert found.plan == ENVIRONMENTS
    assert "GitHub does not list all of the changed files" in said(found)


def test_a_new_environment_is_not_planned_before_the_base_has_its_policy() -> None:
    found = course(facts(f"{FOLDER}/uat.yaml"))
    assert found.green == "new uat: nothing to plan before the merge"
    assert "`uat` is new: the base branch has no policy for it yet" in said(found)
    assert found.plan == ()


def test_a_new_environment_does_not_keep_others_from_their_plan() -> None:
    found = course(facts(f"{FOLDER}/uat.yaml", f"{FOLDER}/test.yaml"))
    assert (found.plan, found.green) == (("test",), "")
    assert "`uat` is new" in said(found)


def test_a_removed_file_destroys_nothing_and_says_so() -> None:
    gone = ChangedFile(f"{FOLDER}/test.yaml", status="removed")
    found = course(replace(FACTS, files=(gone,)))
    assert found.green == "removed test: nothing to plan before the merge"
    assert "Nothing is destroyed by that" in said(found)


def test_a_removed_environment_is_not_planned_with_the_modules() -> None:
    gone = ChangedFile(f"{FOLDER}/test.yaml", status="removed")
    found = course(replace(FACTS, files=(gone, ChangedFile("terraform/a.tf"))))
    assert found.plan == ("local", "prod")


def test_a_renamed_file_is_one_removed_and_one_new() -> None:
    moved = ChangedFile(f"{FOLDER}/uat.yaml", f"{FOLDER}/test.yaml", "renamed")
    found = course(replace(FACTS, files=(moved,)))
    assert found.green == "new uat and removed test: nothing to plan before the merge"


def test_a_file_moved_out_of_terraform_concerns_all_environments() -> None:
    moved = ChangedFile("old/main.tf", "terraform/main.tf", "renamed")
    assert course(replace(FACTS, files=(moved,))).plan == ENVIRONMENTS


def test_a_copied_file_leaves_its_origin() -> None:
    copied = ChangedFile(f"{FOLDER}/uat.yaml", f"{FOLDER}/test.yaml", "copied")
    assert course(replace(FACTS, files=(copied,))).green == (
        "new uat: nothing to plan before the merge"
    )


APPLIED = shown(plan("prod"), digest="", applied_at=SHOWN)


def test_what_was_applied_is_planned_though_a_later_commit_takes_its_change_back() -> None:
    found = course(facts("README.md"), shown=(APPLIED,))
    assert (found.plan, found.apply, found.locks, found.green) == (
        ("prod",),
        ("prod",),
        ("prod",),
        "",
    )
    assert "`prod` is not changed by this any more, and was applied by it" in said(found)
    assert course(shown=(APPLIED,)).plan == ("prod", "test")


def test_what_was_applied_stays_locked_in_a_draft() -> None:
    assert course(facts(draft=True), shown=(APPLIED,)).locks == ("prod",)
    asked = course(facts(draft=True), command="xops plan", shown=(APPLIED,))
    assert (asked.plan, asked.locks) == (("prod", "test"), ("prod",))


def test_a_pull_request_that_changes_its_own_rules_is_told_that_the_old_ones_hold() -> None:
    found = course(facts("deployments/github.yaml", f"{FOLDER}/test.yaml"))
    assert found.plan == ("test",)
    assert "Until it is merged, the rules of the base branch hold" in said(found)


# What its state allows


def test_a_fork_gets_no_plan_and_its_check_does_not_pass() -> None:
    found = course(facts(from_fork=True))
    assert "from a fork" in found.refusal
    assert (found.plan, found.apply, found.locks) == ((), (), ())


def test_a_fork_that_touches_nothing_is_not_held_up() -> None:
    assert course(facts("README.md", from_fork=True)).green


def test_no_command_gives_a_fork_a_plan() -> None:
    for command in ("xops plan", "xops apply", "xops unlock"):
        found = course(facts(from_fork=True), command=command)
        assert (found.plan, found.apply) == ((), ())
        assert found.refusal


def test_a_draft_waits_and_holds_no_lock() -> None:
    found = course(facts(draft=True))
    assert found.waits.startswith("a draft")
    assert (found.plan, found.locks) == ((), ())


def test_a_draft_is_planned_on_request_without_a_lock_and_never_applied() -> None:
    found = course(facts(draft=True), command="xops plan")
    assert found.plan == ("test",)
    assert (found.apply, found.take_locks, found.locks) == ((), False, ())
    assert "nothing of it is applied" in said(found)
    assert course(facts(draft=True), command="xops apply").plan == ()


def test_a_conflict_fails_the_plan_and_keeps_the_lock() -> None:
    found = course(facts(mergeable=False, merge_sha=None))
    assert found.refusal.startswith("conflicts with main")
    assert (found.plan, found.locks) == ((), ("test",))


def test_a_test_merge_that_is_not_made_yet_is_waited_for() -> None:
    with pytest.raises(TemporaryError, match="test merge of acme/platform#12"):
        course(facts(mergeable=None, merge_sha=None))


@pytest.mark.parametrize(
    "given",
    [
        facts("README.md", mergeable=None, merge_sha=None),
        facts(draft=True, mergeable=None, merge_sha=None),
        facts(from_fork=True, mergeable=None, merge_sha=None),
        facts(is_open=False, mergeable=None, merge_sha=None),
    ],
)
def test_what_is_not_planned_waits_for_no_test_merge(given: PullRequestFacts) -> None:
    assert course(given).plan == ()


def test_a_policy_that_refuses_plans_of_branches_does_not_block_the_merge() -> None:
    found = course(rules=PullRequests(isolation=Isolation(refuse=True)))
    assert found.green == "planned after the merge only: isolation.refuse"
    assert "provision-ecs" in said(found)
    assert found.plan == ()


def test_after_the_merge_means_that_nothing_is_applied_before_it() -> None:
    found = course(rules=AFTER)
    assert (found.plan, found.apply, found.locks) == (("test",), (), ("test",))


def test_what_is_merged_is_applied_and_its_locks_end() -> None:
    found = course(facts(is_open=False, merged=True), AFTER)
    assert found.plan == found.apply == ("test",)
    assert (found.take_locks, found.locks) == (True, ())


@pytest.mark.parametrize("values", [{}, {"merged": True}])
def test_a_closed_pull_request_holds_nothing_and_leaves_its_checks(values: dict[str, Any]) -> None:
    found = course(facts(is_open=False, **values))
    assert (found.plan, found.apply, found.locks, found.reports) == ((), (), (), False)
    assert found.comment is Comment.UPDATE_ONLY


def test_what_was_applied_and_is_closed_without_a_merge_is_told() -> None:
    noted = shown(plan("test"), applied_at=SHOWN, digest="")
    found = course(facts(is_open=False), shown=(noted, shown(plan("prod"))))
    assert "after it was applied to `test`" in said(found)
    assert "prod" not in said(found).replace("provision", "")
    assert found.comment is Comment.WRITE


def test_what_is_merged_without_an_apply_is_told() -> None:
    noted = (shown(plan("test")), shown(plan("prod"), digest="", applied_at=SHOWN))
    found = course(facts(is_open=False, merged=True), shown=noted)
    assert "Merged, and not applied to `test`" in said(found)
    assert "prod" not in said(found)


@pytest.mark.parametrize("rules", [BEFORE, AFTER])
def test_a_fork_that_was_merged_is_not_applied_which_is_told(rules: PullRequests) -> None:
    found = course(facts(is_open=False, merged=True, from_fork=True), rules)
    assert (found.plan, found.apply) == ((), ())
    assert "Merged, and not applied to `test`" in said(found)


# Whose rules


@pytest.mark.parametrize(
    ("base", "branches", "trusted"),
    [
        ("main", (), True),
        ("release", (), False),
        ("release", ("release",), True),
        ("main", ("release",), False),
        ("Main", (), False),
        ("refs/heads/main", (), False),
    ],
)
def test_only_the_default_branch_or_those_of_the_operator_have_rules(
    base: str, branches: tuple[str, ...], trusted: bool
) -> None:
    given = facts(base_ref=base)
    assert is_trusted_base(given, branches) is trusted
    found = course(given, branches=branches)
    assert bool(found.plan) is trusted
    assert found.reports is trusted


def test_another_base_is_told_where_there_is_a_comment_already_and_its_locks_end() -> None:
    found = course(facts(base_ref="evil"))
    assert found.comment is Comment.UPDATE_ONLY
    assert "pull requests against `evil` are not xOps' to plan" in said(found)
    assert found.locks == ()


# Commands


@pytest.mark.parametrize(
    ("command", "sender", "heard"),
    [
        ("xops plan", "carl", True),
        ("xops plan", "CARL", True),
        ("xops plan", "bob", True),
        ("xops plan", "dora", False),
        ("xops plan", "", False),
        ("xops apply", "ann", False),
        ("xops aply", "dora", False),
        ("xops unlock", "carl", True),
        ("xops unlock test", "carl", False),
        ("xops unlock test", "bob", True),
        ("", "dora", True),
    ],
)
def test_a_command_of_somebody_without_the_right_makes_nothing_happen(
    command: str, sender: str, heard: bool
) -> None:
    found = course(command=command, sender=sender)
    assert bool(found.ignored) is not heard
    if not heard:
        assert found == Course(ignored=found.ignored)


def test_a_machine_gives_no_command_even_with_the_right() -> None:
    rights = Rights(approvers=frozenset({"robo", "x[bot]"}))
    for sender in ("robo", "x[bot]"):
        found = decide(
            FACTS,
            PullRequests(bots=("ro*",)),
            ENVIRONMENTS,
            Wake("xops plan", sender),
            rights=rights,
        )
        assert "a machine" in found.ignored


def test_to_plan_again_applies_nothing() -> None:
    found = course(command="xops plan test")
    assert (found.plan, found.apply, found.locks) == (("test",), (), ("test",))


def test_to_apply_one_environment_plans_all_and_applies_that_one() -> None:
    found = course(facts("terraform/a.tf"), command="xops apply prod")
    assert (found.plan, found.apply) == (ENVIRONMENTS, ("prod",))


def test_to_apply_what_the_pull_request_does_not_change_is_told_and_applies_nothing() -> None:
    found = course(command="xops apply prod")
    assert (found.plan, found.apply) == (("test",), ())
    assert "`prod` is nothing that this pull request changes" in said(found)


def test_apply_gives_nothing_that_the_state_does_not_allow() -> None:
    assert course(rules=AFTER, command="xops apply test").apply == ()
    assert course(rules=AFTER, command="xops apply").apply == ()


def test_to_unlock_releases_the_locks_and_plans_nothing_that_would_take_them_again() -> None:
    found = course(facts("terraform/a.tf"), command="xops unlock")
    assert (found.plan, found.locks, found.unlock, found.apply) == ((), (), (), ())
    assert found.waits.startswith("locks are released")


def test_an_approver_unlocks_one_environment_whoever_holds_it() -> None:
    found = course(facts("terraform/a.tf"), command="xops unlock prod")
    assert (found.unlock, found.locks, found.plan) == (("prod",), ("local", "test"), ())


def test_to_unlock_works_on_what_touches_nothing_and_leaves_its_checks_green() -> None:
    found = course(facts("README.md"), command="xops unlock prod")
    assert (found.unlock, found.waits, bool(found.green)) == (("prod",), "", True)


def test_a_misspelt_command_is_answered_with_the_commands_and_applies_nothing() -> None:
    found = course(command="xops aply @everyone")
    assert found.apply == ()
    assert "aply is no command" in said(found)
    assert "| `xops unlock ENVIRONMENT` |" in said(found)


# Merge queues


def test_a_merge_group_passes_both_checks_with_its_reason() -> None:
    group = MergeGroupFacts("acme/platform", HEAD, "main", "c" * 40, (), True)
    assert decide_merge_group(group, PullRequests(), ENVIRONMENTS).green.startswith("touches")
    touching = replace(group, files=(ChangedFile("terraform/a.tf"),))
    found = decide_merge_group(touching, PullRequests(), ENVIRONMENTS)
    assert found.green == "decided on the pull requests of this group: local, prod, test"


# Whatever comes

PATHS = st.sampled_from(
    ["terraform/a.tf", "terraform/stacks/k3s_hosts/a.tf", "README.md", "deployments/github.yaml"]
    + [f"{FOLDER}/{name}.yaml" for name in ("local", "prod", "test", "uat", "@x")]
)
FILES = st.lists(
    st.builds(
        ChangedFile,
        path=PATHS,
        previous_path=PATHS,
        status=st.sampled_from(["added", "modified", "removed", "renamed", "copied"]),
    ),
    max_size=4,
).map(tuple)
ANY = st.builds(
    replace,
    st.just(FACTS),
    files=FILES,
    files_complete=st.booleans(),
    is_open=st.booleans(),
    merged=st.booleans(),
    draft=st.booleans(),
    from_fork=st.booleans(),
    base_ref=st.sampled_from(["main", "evil"]),
    mergeable=st.sampled_from([True, False]),
)
POLICIES = st.builds(
    PullRequests,
    apply=st.sampled_from(["before_merge", "after_merge"]),
    modules_concern=st.sampled_from([(), ("test",), ("uat",)]),
    isolation=st.builds(Isolation, refuse=st.booleans()),
)
COMMANDS = st.sampled_from(
    ["", "xops plan", "xops apply", "xops apply prod", "xops unlock", "xops unlock prod", "xops x"]
)


@examples(150)
@given(ANY, POLICIES, COMMANDS, st.sampled_from(["bob", "carl", "dora"]))
def test_no_state_and_no_command_leads_to_more_than_it_may(
    given_facts: PullRequestFacts, rules: PullRequests, command: str, sender: str
) -> None:
    found = course(given_facts, rules, command=command, sender=sender)
    plain = course(given_facts, rules)
    assert set(found.apply) <= set(found.plan) <= set(ENVIRONMENTS)
    assert len([text for text in (found.green, found.refusal, found.waits) if text]) <= 1
    assert not (found.plan and (found.green or found.refusal or found.waits))
    if not found.ignored:
        assert set(found.apply) <= set(plain.apply)  # a command gives no right
        assert set(found.plan) <= set(plain.plan) or given_facts.draft
    if given_facts.from_fork or rules.isolation.refuse or given_facts.base_ref == "evil":
        assert found.plan == ()
    if found.apply:
        is_merged = not given_facts.is_open and given_facts.merged
        assert is_merged is (rules.apply == "after_merge")
        assert found.take_locks
    if not given_facts.is_open or given_facts.draft:
        assert found.locks == ()
