"""What every flow and task of ours has in common."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin

import pytest
from prefect import Flow, Task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel, Field

import flows
from flows.close_records import CloseRequest
from flows.form import Form, titled
from flows.gate import Answer
from flows.k3s_cluster import K3sRequest
from flows.lifecycle_tasks import as_tasks
from tests.contract.prose import form_findings, is_prose, untitled
from xops.k3s.cluster_file import cluster

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


def kinds(flow: Flow[..., Any]) -> dict[str, type[Any]]:
    """The type of each parameter, without what is said about it."""
    found = inspect.signature(flow.fn, eval_str=True).parameters
    annotations = {name: parameter.annotation for name, parameter in found.items()}
    return {
        name: get_args(kind)[0] if get_origin(kind) is Annotated else kind
        for name, kind in annotations.items()
    }


def models(flow: Flow[..., Any]) -> list[type[BaseModel]]:
    return [kind for kind in kinds(flow).values() if issubclass(kind, BaseModel)]


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_flows_parameters_are_one_frozen_model(flow: Flow[..., Any]) -> None:
    if not kinds(flow):
        return  # nothing is asked
    (model,) = models(flow)
    assert model.model_config["frozen"]
    assert model.model_config["extra"] == "forbid"
    assert {kind for kind in kinds(flow).values() if kind is not model} <= {bool, str}


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_the_form_says_what_each_parameter_is(flow: Flow[..., Any]) -> None:
    schema = parameter_schema(flow).model_dump_for_openapi()
    assert list(form_findings(schema)) == []
    for definition in schema["definitions"].values():
        assert list(form_findings(definition)) == []
    assert [untitled(model) for model in models(flow)] == [[] for _ in models(flow)]


def test_the_gates_form_says_what_each_field_is() -> None:
    shown = Answer.with_initial_data(description="a plan")
    assert list(form_findings(shown.model_json_schema())) == []
    assert untitled(shown) == []


class _Bare(BaseModel):
    first_one: str = ""
    second: str | int = Field(default="", description="Which of both.")


class _Said(Form):
    one: str = Field(default="", title="One", description="It is the one that is meant.")


def test_a_parameter_of_which_the_form_says_nothing_is_found() -> None:
    def bare(request: _Bare = _Bare(), apply: bool = False) -> None:  # noqa: B008
        """Do it."""

    def said(request: Annotated[_Said, titled("What")] = _Said()) -> None:  # noqa: B008
        """Do it.

        Args:
            request: The one that is meant by it.
        """

    assert list(form_findings(parameter_schema(said).model_dump_for_openapi())) == []
    schema = parameter_schema(bare).model_dump_for_openapi()
    found = "\n".join([*form_findings(schema), *form_findings(schema["definitions"]["_Bare"])])
    for expected in (
        "apply has no title in words: 'apply'",
        "apply is not described",
        "first_one is not described",
        "second may be given in ways without a title: [None, None]",
        "the order of ['first_one', 'second'] is lost",
    ):
        assert expected in found
    assert untitled(_Bare) == ["first_one", "second"]


def test_what_has_a_file_is_a_choice() -> None:
    way = K3sRequest.model_json_schema()["properties"]["cluster"]["anyOf"][0]
    assert way["enum"] == cluster.names()
    offered = CloseRequest.model_json_schema()["properties"]["subject"]["enum"]
    assert offered[0] == "everything"
    assert {"ecs/local", "k3s/onprem"} <= set(offered)


@pytest.mark.parametrize(
    ("model", "value"),
    [(K3sRequest, {"cluster": "onperm"}), (CloseRequest, {"subject": "ecs/lokal"})],
)
def test_what_has_no_file_is_refused_in_the_form(model: type[Form], value: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"there are: .*(onprem|ecs/local)"):
        model.model_validate(value)


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_applying_is_never_the_default(flow: Flow[..., Any]) -> None:
    apply = inspect.signature(flow.fn).parameters.get("apply")
    assert (apply is not None) == (flow.name in CHANGING)
    assert apply is None or apply.default is False


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS)
def test_a_flow_is_sync_and_says_what_it_does(flow: Flow[..., Any]) -> None:
    # Only the main thread of a sync flow hears a cancellation.
    assert not flow.isasync
    assert is_prose(flow.description)
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


def test_no_flow_makes_an_artifact_of_which_the_ui_cuts_something_off() -> None:
    """Cells of tables are cut off, and below a picture stands its whole address, data and all."""
    sources = [file.read_text() for file in Path(flows.__path__[0]).glob("*.py")]
    assert not [kind for kind in ("table", "image") for text in sources
                if f"create_{kind}_artifact" in text]  # fmt: skip
