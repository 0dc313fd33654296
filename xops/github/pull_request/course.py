"""What is done with a pull request as it is now. Pure.

Deliveries only wake: what follows depends on the facts, not on which delivery came, so that one
that is lost, late or twice changes nothing. A command is the exception; it asks for less or for the
same, and never gives a right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from xops.core.errors import TemporaryError
from xops.core.rendering import Markdown
from xops.github.policy import PullRequests
from xops.github.pull_request.commands import USAGE, Command, NotACommand, Verb, parse
from xops.github.pull_request.facts import (
    ChangedFile,
    MergeGroupFacts,
    PullRequestFacts,
    ShownPlan,
)
from xops.github.pull_request.reviews import is_machine

_ENVIRONMENT_FILE = re.compile(r"deployments/environments/([a-z](?:-?[a-z0-9])*)\.yaml")
_TERRAFORM = "terraform/"
_STACK = re.compile(r"terraform/stacks/([^/]+)/")
_OWN_STACK = "stream1"
"""The stack of environments. Others are of Stream 2, which no environment needs."""
_POLICY_FILE = "deployments/github.yaml"
_SUBJECT = "ecs/"


class Comment(StrEnum):
    """What becomes of the one comment."""

    WRITE = "write"
    UPDATE_ONLY = "update only"
    """Only if there is one: nobody needs to be told that there is nothing to say."""


@dataclass(frozen=True)
class Wake:
    """What a run was started by, as far as it matters: a command, and whose it is."""

    command: str = ""
    sender: str = ""


@dataclass(frozen=True)
class Rights:
    """Who may do what, read live: logins in lower case."""

    approvers: frozenset[str] = frozenset()
    commanders: frozenset[str] = frozenset()

    def may(self, command: Command | NotACommand, login: str) -> bool:
        """Whether somebody may ask for that; a lock of others is the approvers' to take away."""
        match command:
            case Command(Verb.UNLOCK, environment) if environment:
                return login.lower() in self.approvers
        return login.lower() in self.approvers | self.commanders


@dataclass(frozen=True)
class Touched:
    """Environments that a pull request concerns, in the order of the base's files.

    Attributes:
        known: the base has their file, and so has the head.
        new: only the head has. They have no reviewed policy yet.
        removed: only the base has.
        unknown_names: of `modules_concern`, that the base has no file of.
        applied: those of `known` to which something of it was applied.
        left: those of `applied` that it does not change any more.
    """

    known: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    unknown_names: tuple[str, ...] = ()
    applied: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.known or self.new or self.removed)


@dataclass(frozen=True)
class Course:
    """What is done.

    At most one of `green`, `refusal` and `waits` says something; nothing is planned then. Without
    any of them and without plans, checks are left as they are.

    Attributes:
        ignored: why nothing at all is done; holds logins.
        plan: environments that are planned, in this order.
        apply: those of them that are applied where reviews release it.
        take_locks: whether the locks of what is planned are taken first.
        locks: environments whose locks it may hold. All others that it holds are released once the
            work is done.
        unlock: environments whose locks are released first, whoever holds them.
        green: why both checks pass although nothing is planned.
        refusal: why nothing is planned, and the check of the plan fails.
        waits: why nothing is planned yet, so that both checks are pending.
        comment: what becomes of the comment.
        notes: what is told with it.
    """

    ignored: str = ""
    plan: tuple[str, ...] = ()
    apply: tuple[str, ...] = ()
    take_locks: bool = False
    locks: tuple[str, ...] = ()
    unlock: tuple[str, ...] = ()
    green: str = ""
    refusal: str = ""
    waits: str = ""
    comment: Comment = Comment.WRITE
    notes: tuple[Markdown, ...] = ()

    @property
    def may_apply(self) -> bool:
        """Whether the pull request is in a state in which something may be applied."""
        return bool(self.apply)

    @property
    def reports(self) -> bool:
        """Whether checks are reported."""
        return bool(self.plan or self.green or self.refusal or self.waits)


def decide(
    facts: PullRequestFacts,
    rules: PullRequests,
    environments: Sequence[str],
    wake: Wake,
    *,
    rights: Rights,
    branches: Sequence[str] = (),
    shown: Sequence[ShownPlan] = (),
) -> Course:
    """What is done with a pull request.

    Args:
        facts: as it is now.
        rules: of the base branch, which `is_trusted_base` has found to be one.
        environments: names of the environment files of the base branch.
        wake: by what.
        rights: who may do what.
        branches: the operator's `base_branches`.
        shown: what people were shown on it.

    Raises:
        TemporaryError: GitHub has not merged it on trial yet, and that would be planned.
    """
    command = parse(wake.command)
    if command is not None and (why := _why_no_right(command, wake.sender, rules, rights)):
        return Course(ignored=why)
    touched = find_touched(facts.files, facts.files_complete, rules, environments)
    touched = _with_applied(touched, environments, shown)
    course = _of_state(facts, rules, touched, command, branches, shown)
    return _with_notes(_as_commanded(course, command), facts, touched)


def is_trusted_base(facts: PullRequestFacts, branches: Sequence[str]) -> bool:
    """Whether the policy of the branch that it goes into counts.

    Anybody who may push can make a branch with rules of his own, and a pull request against it. So
    it is the operator's file that names the branches; none: the default branch.
    """
    return facts.base_ref in (branches or (facts.default_branch,))


def decide_merge_group(
    facts: MergeGroupFacts, rules: PullRequests, environments: Sequence[str]
) -> Course:
    """What is done with a group of a merge queue: its checks pass.

    A queue takes pull requests whose own required checks have passed, and the locks let one at a
    time concern an environment, so that the group makes of it what was planned there.
    """
    touched = find_touched(facts.files, facts.files_complete, rules, environments)
    names = ", ".join((*touched.known, *touched.new, *touched.removed))
    if not names:
        return Course(green=_TOUCHES_NOTHING)
    return Course(green=f"decided on the pull requests of this group: {names}")


_TOUCHES_NOTHING = "touches neither terraform/ nor an environment file"


# Which environments


def find_touched(
    files: Iterable[ChangedFile],
    is_complete: bool,
    rules: PullRequests,
    environments: Sequence[str],
) -> Touched:
    """Which environments changed files concern; all of them where the list is not complete."""
    files = tuple(files)
    gone = {name for file in files for name in _environments(_paths_removed(file))}
    there = {name for file in files for name in _environments(_paths_there(file))}
    of_modules, unknown = _concerned_by_modules(rules, environments)
    concerned = set(there)
    if not is_complete:
        concerned |= set(environments)
    elif any(map(_is_of_modules, (path for file in files for path in file.paths))):
        concerned |= set(of_modules)
    else:
        unknown = ()
    removed = gone - there
    return Touched(
        known=tuple(name for name in environments if name in concerned - removed),
        new=tuple(sorted(there - set(environments))),
        removed=tuple(name for name in environments if name in removed),
        unknown_names=unknown,
    )


def _with_applied(
    touched: Touched, environments: Sequence[str], shown: Sequence[ShownPlan]
) -> Touched:
    """With those to which it was applied: a later commit may have taken the change back.

    Otherwise such a commit would leave them as they are, with green checks and without a lock.
    """
    applied = {plan.environment for plan in shown if plan.applied_at} - set(touched.removed)
    known = {*touched.known, *applied}
    return replace(
        touched,
        known=tuple(name for name in environments if name in known),
        applied=tuple(name for name in environments if name in applied),
        left=tuple(name for name in environments if name in applied - set(touched.known)),
    )


def _concerned_by_modules(
    rules: PullRequests, environments: Sequence[str]
) -> tuple[Sequence[str], tuple[str, ...]]:
    """Environments that modules concern, and names that are none. Without any known one: all."""
    known = [name for name in environments if name in rules.modules_concern]
    unknown = tuple(name for name in rules.modules_concern if name not in environments)
    return known or environments, unknown


def _paths_removed(file: ChangedFile) -> Iterator[str]:
    if file.status == "removed":
        yield file.path
    elif file.status == "renamed":
        yield file.previous_path


def _paths_there(file: ChangedFile) -> Iterator[str]:
    if file.status != "removed":
        yield file.path


def _environments(paths: Iterable[str]) -> Iterator[str]:
    for path in paths:
        if found := _ENVIRONMENT_FILE.fullmatch(path):
            yield found[1]


def _is_of_modules(path: str) -> bool:
    stack = _STACK.match(path)
    return path.startswith(_TERRAFORM) and (stack is None or stack[1] == _OWN_STACK)


# What its state allows


def _of_state(
    facts: PullRequestFacts,
    rules: PullRequests,
    touched: Touched,
    command: Command | NotACommand | None,
    branches: Sequence[str],
    shown: Sequence[ShownPlan],
) -> Course:
    if not is_trusted_base(facts, branches):
        return _of_another_base(facts)
    if not facts.is_open:
        return _closed(facts, rules, touched, shown)
    if refused := _not_planned(facts, rules, touched):
        return refused
    is_asked = isinstance(command, Command) and command.verb is Verb.PLAN
    if facts.draft and not is_asked:
        waits = "a draft: planned when it is ready for review, or with `xops plan`"
        return Course(waits=waits, locks=touched.applied)
    if facts.mergeable is False:
        conflict = f"conflicts with {facts.base_ref}: resolve that, and it is planned"
        return Course(refusal=conflict, locks=touched.applied if facts.draft else touched.known)
    if facts.merge_sha is None:
        raise _not_merged_on_trial(facts)
    if facts.draft:
        return Course(plan=touched.known, locks=touched.applied, notes=(_DRAFT,))
    applied = touched.known if rules.apply == "before_merge" else ()
    return Course(plan=touched.known, apply=applied, take_locks=True, locks=touched.known)


_DRAFT = Markdown("A draft is planned without a lock, and nothing of it is applied.")


def _of_another_base(facts: PullRequestFacts) -> Course:
    """Its checks stay as they are: they are the commit's, which another pull request may have."""
    note = Markdown.of(
        "Nothing is planned: pull requests against {branch} are not xOps' to plan. The operator's"
        " `base_branches` names those that are; else it is {default}.",
        branch=Markdown.code(facts.base_ref),
        default=Markdown.code(facts.default_branch),
    )
    return Course(comment=Comment.UPDATE_ONLY, notes=(note,))


def _not_planned(facts: PullRequestFacts, rules: PullRequests, touched: Touched) -> Course | None:
    """The course of one that is open and that nothing is ever planned of; None for others."""
    if not touched:
        return Course(green=_TOUCHES_NOTHING, comment=Comment.UPDATE_ONLY)
    if not touched.known:
        return Course(green=_not_before_the_merge(touched))
    if facts.from_fork:
        return Course(
            refusal="from a fork: a plan runs its code. Push the branch to this repository"
        )
    if rules.isolation.refuse:
        return Course(green="planned after the merge only: isolation.refuse", notes=(_REFUSED,))
    return None


_REFUSED = Markdown(
    "The policy of the base branch lets no branch be planned (`isolation.refuse`): run"
    " `provision-ecs` for these environments after the merge."
)


def _not_before_the_merge(touched: Touched) -> str:
    parts = [
        f"{kind} {', '.join(names)}"
        for kind, names in (("new", touched.new), ("removed", touched.removed))
        if names
    ]
    return f"{' and '.join(parts)}: nothing to plan before the merge"


def _not_merged_on_trial(facts: PullRequestFacts) -> TemporaryError:
    return TemporaryError(
        f"reading the test merge of {facts.repository}#{facts.number}",
        "GitHub has not made one of this head and this base yet",
        "It does within a minute; the run tries again. If it never does, push to the branch.",
        retry_after=10,
    )


def _closed(
    facts: PullRequestFacts, rules: PullRequests, touched: Touched, shown: Sequence[ShownPlan]
) -> Course:
    """No lock outlives a pull request that is closed."""
    if not facts.merged:
        return _told(_stays, [plan.environment for plan in shown if plan.applied_at])
    if facts.from_fork or rules.isolation.refuse:
        return _told(_not_applied, touched.known)
    if rules.apply == "before_merge":
        return _told(_not_applied, [plan.environment for plan in shown if plan.is_open])
    if not touched.known:
        return Course(comment=Comment.UPDATE_ONLY)
    return Course(plan=touched.known, apply=touched.known, take_locks=True)


def _stays(environments: Markdown) -> Markdown:
    return Markdown.of(
        "Closed without a merge, after it was applied to {environments}: what was applied last is"
        " still there. Reopen it, or run `provision-ecs` for {environments}, which brings back what"
        " the base branch says.",
        environments=environments,
    )


def _not_applied(environments: Markdown) -> Markdown:
    return Markdown.of(
        "Merged, and not applied to {environments}: run `provision-ecs` for {environments}, which"
        " shows what is left to do.",
        environments=environments,
    )


def _told(note: Callable[[Markdown], Markdown], environments: Sequence[str]) -> Course:
    if not environments:
        return Course(comment=Comment.UPDATE_ONLY)
    return Course(notes=(note(Markdown.joined(", ", map(Markdown.code, environments))),))


# What a command changes


def _why_no_right(
    command: Command | NotACommand, sender: str, rules: PullRequests, rights: Rights
) -> str:
    """Why a command is passed over in silence: nobody else can make xOps talk, or work."""
    if is_machine(sender, rules.bots):
        return f"a command of {sender}, a machine"
    if not rights.may(command, sender):
        return f"a command of {sender or 'nobody'}, who may not give it"
    return ""


def _as_commanded(course: Course, command: Command | NotACommand | None) -> Course:
    match command:
        case NotACommand(found):
            return _noted(replace(course, apply=()), _usage(found))
        case Command(Verb.PLAN):
            return replace(course, apply=())
        case Command(Verb.APPLY, environment) if environment and course.plan:
            return _narrowed(course, environment)
        case Command(Verb.UNLOCK, environment):
            return _unlocked(course, environment)
    return course


def _narrowed(course: Course, environment: str) -> Course:
    """Only that environment is applied; planned are all, as the comment and the checks are."""
    if environment in course.plan:
        wanted = tuple(name for name in course.apply if name == environment)
        return replace(course, apply=wanted)
    note = Markdown.of(
        "{environment} is nothing that this pull request changes: nothing is applied.",
        environment=Markdown.code(environment),
    )
    return _noted(replace(course, apply=()), note)


def _unlocked(course: Course, environment: str) -> Course:
    """Nothing is planned then: that would take the locks again."""
    kept = tuple(name for name in course.locks if environment and name != environment)
    forced = (environment,) if environment else ()
    waits = "locks are released: `xops plan` takes them and plans again" if course.plan else ""
    return replace(
        course,
        plan=(),
        apply=(),
        take_locks=False,
        locks=kept,
        unlock=forced,
        waits=course.waits or waits,
    )


def _usage(found: str) -> Markdown:
    rows = [(Markdown.code(line), Markdown.render(what)) for line, what in USAGE.items()]
    return Markdown.of(
        "Nothing is applied: {found}. What can be written:\n\n{table}",
        found=found,
        table=Markdown.table(["command", "does"], rows),
    )


# What is told


def _noted(course: Course, note: Markdown) -> Course:
    return replace(course, notes=(*course.notes, note))


def _with_notes(course: Course, facts: PullRequestFacts, touched: Touched) -> Course:
    if not course.reports:
        return course
    return replace(course, notes=(*course.notes, *_notes(facts, touched)))


def _notes(facts: PullRequestFacts, touched: Touched) -> Iterator[Markdown]:
    yield from map(_new, touched.new)
    yield from map(_removed, touched.removed)
    if any(_POLICY_FILE in file.paths for file in facts.files):
        yield _OWN_RULES
    if not facts.files_complete:
        yield _INCOMPLETE
    yield from map(_left, touched.left)
    if touched.unknown_names:
        yield Markdown.of(
            "`modules_concern` names what the base branch has no file of: {names}.",
            names=", ".join(touched.unknown_names),
        )


def _new(name: str) -> Markdown:
    return Markdown.of(
        "{name} is new: the base branch has no policy for it yet. It is planned once this is"
        " merged, by `provision-ecs`.",
        name=Markdown.code(name),
    )


def _removed(name: str) -> Markdown:
    return Markdown.of(
        "The file of {name} is removed. Nothing is destroyed by that: if it runs, destroy it first"
        " with `destroy-ecs`, which needs the file.",
        name=Markdown.code(name),
    )


def _left(name: str) -> Markdown:
    return Markdown.of(
        "{name} is not changed by this any more, and was applied by it: its plan takes back what"
        " the base branch does not have.",
        name=Markdown.code(name),
    )


_OWN_RULES = Markdown(
    "This changes `deployments/github.yaml`. Until it is merged, the rules of the base branch hold,"
    " for this pull request as well."
)
_INCOMPLETE = Markdown(
    "GitHub does not list all of the changed files: all environments are planned."
)
