"""A trigger's policy held against what a record says of it: every difference, in both sides' words.

Read from `deployments/triggers.yaml` is only what a record speaks of. Where a trigger ends, who
counts as an engineer and which paths are infrastructure code, the record leaves to the policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

from pydantic import BaseModel

from xops.decision.triggers import CountedTrigger, Trigger


class _Enter(BaseModel):
    above: int | None = None
    weeks: int = 1
    of: int = 1


class _Action(BaseModel):
    summary: str = ""
    components: tuple[str, ...] = ()


class _Component(BaseModel):
    requires: tuple[str, ...] = ()


class PolicyTrigger(BaseModel):
    """What of a trigger's policy a record can be compared with; other keys are not read."""

    metric: str | None = None
    mandate: str | None = None
    enter: _Enter | None = None
    action: _Action = _Action()
    classification: str = ""


class TriggerPolicy(BaseModel):
    """The triggers, and the components that their actions name."""

    components: dict[str, _Component] = {}
    triggers: dict[str, PolicyTrigger]

    def with_requirements(self, names: Iterable[str]) -> frozenset[str]:
        """Those components and all that they run on, however deep."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += self.components.get(name, _Component()).requires
        return frozenset(found)


@dataclass(frozen=True)
class Difference:
    """One thing of which a record and the policy say different things."""

    subject: str
    record: str
    policy: str

    def __str__(self) -> str:
        return f"{self.subject}: the record says {self.record}, the policy {self.policy}"

    def to_json(self) -> dict[str, str]:
        """The difference for machines."""
        return asdict(self)


def differences(record: Trigger, policy: TriggerPolicy, name: str) -> Iterator[Difference]:
    """Everything in which the policy's trigger of that name is not the record's.

    Compared are what decides (the count with its threshold and window, or the kind of mandate),
    what it calls for (in words and in components, with all they run on) and the classification.
    """
    trigger = policy.triggers[name]
    if isinstance(record, CountedTrigger):
        yield from _of_the_count(record, trigger)
    elif trigger.mandate != record.mandate:
        said = f'a mandate {record.mandate} ("{record.condition}")'
        yield Difference("mandate", said, _what_decides(trigger))
    yield from _of_the_action(record, policy, trigger.action)
    if record.classification != trigger.classification:
        yield Difference("classification", record.classification, trigger.classification)


def _of_the_count(record: CountedTrigger, policy: PolicyTrigger) -> Iterator[Difference]:
    words = f'("{record.condition}")'
    if policy.metric != record.metric:
        yield Difference("metric", f"{record.metric} {words}", _what_decides(policy))
    enter = policy.enter
    if enter is None:  # it goes by a mandate
        return
    if enter.above != record.above:
        yield Difference("threshold", f"above {record.above} {words}", f"above {enter.above}")
    if (enter.weeks, enter.of) != (record.weeks, record.of):
        said = f"{_window(record.weeks, record.of)} {words}"
        yield Difference("window", said, _window(enter.weeks, enter.of))


def _of_the_action(record: Trigger, policy: TriggerPolicy, action: _Action) -> Iterator[Difference]:
    if action.summary.split() != record.action.split():
        yield Difference("action", f'"{record.action}"', f'"{action.summary}"')
    if set(action.components) != set(record.components):
        said = f'{_listed(record.components)} ("{record.action}")'
        yield Difference("components", said, _listed(action.components))
        return  # what others run on, the record does not say
    needed = policy.with_requirements(action.components) - set(record.components)
    if needed != set(record.runs_on):
        yield Difference(
            f"what {_listed(record.components)} runs on", *map(_listed, (record.runs_on, needed))
        )


def _what_decides(policy: PolicyTrigger) -> str:
    return policy.metric or f"a mandate {policy.mandate}"


def _window(weeks: int, of: int) -> str:
    return f"{weeks} of {of} weeks" if of > 1 else "1 week"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"
