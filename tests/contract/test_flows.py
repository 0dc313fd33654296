"""What every flow and task of ours has in common."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

import flows
from flows.lifecycle_tasks import as_tasks

CHANGING = {"provision-ecs", "destroy-ecs", "bootstrap-k3s"}
"""Flows that change something: they plan only, unless told to apply."""

STEPS = ("plan", "apply", "verify")


def members(kind: type[Any]) -> Iterator[tuple[str, Any]]:
    for module in pkgutil.iter_modules(flows.__path__):
        loaded = importlib.import_module(f"flows.{module.name}")
        for name, value in vars(loaded).items():
            if isinstance(value, kind) and value.__module__ == loaded.__name__:
                yield f"{module.name}.{name}", value


FLOWS = dict(members(Flow))
TASKS = dict(members(Task))


def test_there_is_something_to_look_at() -> None:
    assert len(FLOWS) >= 4
    assert len(TASKS) >= 6
    assert {flow.name for flow in FLOWS.values()} >= CHANGING


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_flows_parameters_are_one_frozen_model(flow: Flow[..., Any]) -> None:
    parameters = inspect.signature(flow.fn, eval_str=True).parameters
    models = [p.annotation for p in parameters.values() if issubclass(p.annotation, BaseModel)]
    assert len(models) == 1
    assert models[0].model_config["frozen"]
    assert models[0].model_config["extra"] == "forbid"
    others = {n: p.annotation for n, p in parameters.items() if p.annotation not in models}
    assert set(others.values()) <= {bool, str}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_applying_is_never_the_default(flow: Flow[..., Any]) -> None:
    apply = inspect.signature(flow.fn).parameters.get("apply")
    assert (apply is not None) == (flow.name in CHANGING)
    assert apply is None or apply.default is False


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_flow_is_sync_and_says_what_it_does(flow: Flow[..., Any]) -> None:
    # Only the main thread of a sync flow hears a cancellation.
    assert not flow.isasync
    assert flow.description
    assert flow.flow_run_name


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_no_task_is_answered_from_a_cache(task: Task[..., Any]) -> None:
    assert task.cache_policy == NO_CACHE


@pytest.mark.parametrize("name", STEPS)
def test_the_steps_of_a_lifecycle_are_tasks_that_no_cache_answers(name: str) -> None:
    steps: Any = SimpleNamespace(**dict.fromkeys(STEPS, len))
    made = getattr(as_tasks(steps, "a-slot"), name)
    assert isinstance(made, Task)
    assert made.name == name
    assert made.cache_policy == NO_CACHE
    assert made.persist_result is False
    assert made.retries == 0


@pytest.mark.parametrize("hooked", [*FLOWS.values(), *TASKS.values()], ids=[*FLOWS, *TASKS])
def test_hooks_take_what_prefect_passes_by_name(hooked: Any) -> None:
    kind = "flow" if isinstance(hooked, Flow) else "task"
    names = [name for name in vars(hooked) if name.startswith("on_") and name.endswith("_hooks")]
    for hook in [hook for name in names for hook in getattr(hooked, name) or []]:
        assert list(inspect.signature(hook).parameters) == [kind, f"{kind}_run", "state"]
