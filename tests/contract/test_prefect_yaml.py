"""prefect.yaml, strictly: Prefect itself drops a misspelt key without a word."""

import copy
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from zoneinfo import available_timezones

import pytest
import yaml
from prefect import Flow
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.client.schemas.schedules import CronSchedule
from prefect.events import DeploymentTriggerTypes
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import validate
from pydantic import TypeAdapter, ValidationError

from tests.contract.prose import is_prose
from xops.core.files import settings
from xops.ecs import environment
from xops.prefect_server.automations import lost_keys

POOL = "{{ $XOPS_WORK_POOL }}"
UNWATCHED = {"notify"}
STREAMS = {"stream-1", "stream-2"}
EFFECTS = {"changes", "reads"}
STEPS = {"ecs", "k3s", "triggers", "costs", "records", "notices", "github"}
BY_REVIEW = {"handle-pull-request"}
"""Change a system without being told to apply: a review on GitHub releases it."""
LABELS = ("Changes", "Runs", "Expect")
LABEL = re.compile(r"\*\*(\w+):\*\* ")
TIME = re.compile(r"\b\d\d:\d\d\b")
OFTEN = re.compile(r"\bevery (\d+) minutes\b")
Document = dict[str, Any]


def findings(document: Document) -> list[str]:
    """Everything that is wrong with it."""
    try:
        parsed = PrefectYamlModel.model_validate(document)
    except ValidationError as error:
        return [str(error)]
    lost = lost_keys(document, parsed.model_dump(by_alias=True))
    found = [f"unknown key {path}" for path in lost]
    if document.get("pull") != [SET_WORKING_DIRECTORY]:
        found.append("pull: code lies where XOPS_ROOT says, on a process worker and in the image")
    names = Counter(
        (row.get("entrypoint", "").rpartition(":")[2], row.get("name"))
        for row in document["deployments"]
    )
    found += [f"deployed twice: {name}" for name, count in names.items() if count > 1]
    for deployment in document["deployments"]:
        entrypoint = deployment.get("entrypoint", "no entrypoint")
        found += [f"{entrypoint}: {finding}" for finding in deployment_findings(deployment)]
    return found


SET_WORKING_DIRECTORY = {
    "prefect.deployments.steps.set_working_directory": {"directory": "{{ $XOPS_ROOT }}"}
}


def deployment_findings(deployment: Document) -> Iterator[str]:
    if not (deployment.get("name") and deployment.get("description")):
        yield "needs a name and a description"
    else:
        yield from description_findings(deployment)
    flow = deployment.get("entrypoint", "").rpartition(":")[2].replace("_", "-")
    if deployment.get("name") != flow:
        yield f"must be named as its flow, {flow}: a list shows names alone"
    if deployment.get("work_pool", {}).get("name") != POOL:
        yield f"work_pool.name must be {POOL}"
    if "pull" in deployment or "schedule" in deployment:
        yield "neither pull nor schedule: the first is said once, the second has no slug"
    try:
        flow = loaded(deployment["entrypoint"])
    except Exception as error:  # noqa: BLE001 - whatever keeps it from being imported
        yield f"does not import: {error!r}"
        return
    yield from flow_findings(deployment, flow)
    yield from schedule_findings(deployment, flow)
    yield from trigger_findings(deployment)


def description_findings(deployment: Document) -> Iterator[str]:
    """What it does, changes, when it runs, what to expect: in sentences, as the UI shows them."""
    said = deployment["description"].strip().split("\n\n")
    if not all(is_prose(re.sub(r"[*`]", "", paragraph)) for paragraph in said):
        yield "its description is not written in sentences"
    labels = [LABEL.match(paragraph) for paragraph in said]
    if tuple(found and found[1] for found in labels) != (None, *LABELS):
        yield f"its description has one paragraph, and then one each that begins with {LABELS}"
        return
    _, changes, runs, _ = said
    yield from when_findings(deployment, runs)
    reads = re.search(r":\*\* (nothing|no system)\.", changes) is not None
    if reads is not ("reads" in deployment.get("tags", [])):
        yield "its description and its tags differ about what it changes"


def when_findings(deployment: Document, text: str) -> Iterator[str]:
    """The times of its schedules are those that are told."""
    rows = [(row, str(row.get("cron")).split()) for row in deployment.get("schedules", [])]
    crons = [cron for _, cron in rows if cron[1] != "*"]
    times = {f"{hour:0>2}:{minute:0>2}" for minute, hour, *_ in crons}
    if set(TIME.findall(text)) != times:
        yield f"its description tells other times than its schedules, {sorted(times)}"
    often = {cron[0].removeprefix("*/") for _, cron in rows if cron[1] == "*"}
    if set(OFTEN.findall(text)) != often:
        yield f"its description does not tell that it runs every {sorted(often)} minutes"
    zones = {row.get("timezone") for row, cron in rows if cron in crons}
    yield from (
        f"its description does not tell the time zone {z}" for z in zones if str(z) not in text
    )
    if not rows and "starts it" not in text:
        yield "its description does not tell who starts it"


@cache
def loaded(entrypoint: str) -> Flow[..., Any]:
    """The flow; loading one runs its whole module, and each is looked at thirty times."""
    flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint)
    return flow


def flow_findings(deployment: Document, flow: Flow[..., Any]) -> Iterator[str]:
    wanted = {"xops"} if flow.name in UNWATCHED else {"xops", "xops-watched"}
    tags = set(deployment.get("tags", []))
    if not wanted <= tags:
        yield f"lacks tags {sorted(wanted - tags)}"
    if flow.name in UNWATCHED and "xops-watched" in tags:
        yield "would report itself"
    if not tags & STREAMS or len(tags & EFFECTS) != 1 or len(tags & STEPS) != 1:
        yield f"needs tags: of {sorted(STREAMS)}, one of {sorted(EFFECTS)}, one of {sorted(STEPS)}"
    elif deployment["tags"][0] not in EFFECTS:
        yield "its first tag must say whether it changes a system: a narrow list shows no other"
    told = "apply" in parameter_schema(flow).properties or flow.name in BY_REVIEW
    if ("changes" in tags) is not told:
        yield "tagged as changing something if and only if its flow is told whether to apply"
    if unknown := tags - STREAMS - EFFECTS - STEPS - {"xops", "xops-watched"}:
        yield f"unknown tags {sorted(unknown)}"
    yield from parameter_findings(flow, deployment.get("parameters", {}))


def parameter_findings(flow: Flow[..., Any], parameters: Document) -> Iterator[str]:
    schema = parameter_schema(flow).model_dump_for_openapi()
    try:
        validate(parameters, schema, raise_on_error=True, ignore_required=True)
    except Exception as error:  # noqa: BLE001 - Prefect's own, of several kinds
        yield f"parameters do not fit: {error}"
    # The schema lets them through; the flow would then refuse its own run.
    yield from (f"no such parameter: {name}" for name in parameters.keys() - schema["properties"])
    if parameters.get("apply", False):
        yield "parameters.apply must be false: applying is asked for, never the default"


def schedule_findings(deployment: Document, flow: Flow[..., Any]) -> Iterator[str]:
    schedules = deployment.get("schedules", [])
    slugs = Counter(row.get("slug") for row in schedules)
    yield from (f"slug {slug!r} is given {n} times" for slug, n in slugs.items() if n > 1)
    for row in schedules:
        if not row.get("slug"):
            yield "a schedule without a slug is made anew by every deploy"
        try:
            CronSchedule(cron=row.get("cron", ""))
        except ValidationError:
            yield f"not a cron expression: {row.get('cron')!r}"
        if row.get("timezone") not in available_timezones():
            yield f"not a time zone: {row.get('timezone')!r}"
        yield from parameter_findings(flow, row.get("parameters", {}))
        if "active" not in row:
            yield f"schedule {row.get('slug')!r} does not say whether it is active"


def trigger_findings(deployment: Document) -> Iterator[str]:
    adapter: TypeAdapter[Any] = TypeAdapter(DeploymentTriggerTypes)
    for trigger in deployment.get("triggers", []):
        parsed = adapter.validate_python(trigger)
        yield from (f"unknown key {key}" for key in lost_keys(trigger, parsed.model_dump()))
        if "prefect.resource.id" not in trigger.get("match", {}):
            yield "a trigger's match must name prefect.resource.id, or any resource fires it"
        if "changes" in deployment.get("tags", []):
            yield "no event may start what changes a system: it names nobody who has asked for it"


@pytest.fixture(scope="module")
def original() -> Document:
    document: Document = yaml.safe_load((settings.ROOT / "prefect.yaml").read_text())
    return document


def test_nothing_is_wrong(original: Document) -> None:
    assert findings(original) == []


def test_all_flows_are_deployed(original: Document) -> None:
    entrypoints = {row["entrypoint"] for row in original["deployments"]}
    flows = {
        "flows/provision_ecs.py:provision_ecs",
        "flows/destroy_ecs.py:destroy_ecs",
        "flows/detect_ecs_drift.py:detect_ecs_drift",
        "flows/notify.py:notify",
        "flows/bootstrap_k3s.py:bootstrap_k3s",
        "flows/evaluate_triggers.py:evaluate_triggers",
        "flows/ingest_costs.py:ingest_costs",
        "flows/report_costs.py:report_costs",
        "flows/handle_pull_request.py:handle_pull_request",
        "flows/reconcile_deliveries.py:reconcile_deliveries",
    }
    assert entrypoints >= flows


def test_drift_is_looked_for_daily_everywhere_but_only_the_embedded_one_is_active(
    original: Document,
) -> None:
    drift = next(r for r in original["deployments"] if "drift" in r["entrypoint"])
    active = {r["parameters"]["request"]["environment"]: r["active"] for r in drift["schedules"]}
    assert active == {name: name == "local" for name in environment.names()}


def test_the_pinned_prefect_is_the_deployed_one(original: Document) -> None:
    project = (settings.ROOT / "pyproject.toml").read_text()
    assert f"prefect=={original['prefect-version']}" in project


Mutation = Callable[[Document], object]


def schedules(document: Document) -> list[Document]:
    rows: list[Document] = document["deployments"][2]["schedules"]
    return rows


TRIGGER = {
    "type": "event",
    "match": {"prefect.resource.id": "a.*"},
    "expect": ["a.happened"],
    "parameters": {"request": "{{ event.payload }}"},
}


def retag(document: Document, index: int, old: str, new: str) -> None:
    tags = document["deployments"][index]["tags"]
    tags[tags.index(old)] = new


def reword(document: Document, index: int, old: str, new: str) -> None:
    row = document["deployments"][index]
    assert old in row["description"]
    row["description"] = row["description"].replace(old, new)


def trigger(deployment: int = 2, **changes: Any) -> Mutation:
    return lambda d: d["deployments"][deployment].update(triggers=[{**TRIGGER, **changes}])


@pytest.mark.parametrize(
    ("mutate", "expected"),
    [
        (lambda d: d.update(deploymentz=[]), "unknown key deploymentz"),
        (lambda d: d.update(pull=[]), "pull: code lies where"),
        (lambda d: d.pop("pull"), "pull: code lies where"),
        (lambda d: d["deployments"][0].update(paramters={}), "unknown key deployments.0.paramters"),
        (lambda d: d["deployments"][0].update(pull=[]), "neither pull nor schedule"),
        (lambda d: d["deployments"][0].update(schedule={"cron": "0 0 * * *"}), "neither pull nor"),
        (lambda d: d["deployments"][0].pop("description"), "needs a name and a description"),
        (lambda d: d["deployments"][0]["work_pool"].update(name="other"), "work_pool.name"),
        (lambda d: d["deployments"][0]["work_pool"].update(queue="x"), "work_pool.queue"),
        (lambda d: d["deployments"][0]["concurrency_limit"].update(limits=1), "limit.limits"),
        (lambda d: d["deployments"][0].update(entrypoint="flows/gate.py:ask"), "does not import"),
        (lambda d: d["deployments"][0].update(entrypoint="flows/none.py:f"), "does not import"),
        (lambda d: d["deployments"][1].update(d["deployments"][0]), "deployed twice"),
        (lambda d: d["deployments"][0].update(tags=["xops"]), "lacks tags ['xops-watched']"),
        (lambda d: d["deployments"][3]["tags"].append("xops-watched"), "would report itself"),
        (lambda d: d["deployments"][0]["tags"].remove("stream-1"), "needs tags"),
        (lambda d: d["deployments"][0]["tags"].remove("ecs"), "needs tags"),
        (lambda d: d["deployments"][0]["tags"].append("reads"), "needs tags"),
        (lambda d: d["deployments"][0]["tags"].reverse(), "its first tag must say"),
        (lambda d: d["deployments"][0]["tags"].append("reeds"), "unknown tags ['reeds']"),
        (lambda d: retag(d, 0, "changes", "reads"), "if and only if its flow is told"),
        (lambda d: retag(d, 2, "reads", "changes"), "differ about what it changes"),
        (lambda d: d["deployments"][0].update(description="Plans"), "not written in sentences"),
        (lambda d: d["deployments"][0].update(description="It plans an environment."), "one each"),
        (lambda d: reword(d, 0, "**Changes:**", "**Effect:**"), "one each that begins with"),
        (lambda d: reword(d, 1, "somebody starts it", "it is time"), "who starts it"),
        (lambda d: reword(d, 2, "05:10", "05:11"), "tells other times"),
        (lambda d: reword(d, 2, "Australia/Sydney", "UTC"), "does not tell the time zone"),
        (lambda d: reword(d, 2, "nothing.", "everything."), "differ about what it changes"),
        (lambda d: d["deployments"][0]["parameters"].update(apply=True), "apply must be false"),
        (lambda d: d["deployments"][0]["parameters"].update(apply="maybe"), "do not fit"),
        (lambda d: d["deployments"][0]["parameters"].update(aply=False), "no such parameter"),
        (
            lambda d: d["deployments"][0]["parameters"]["request"].update(environment="production"),
            "do not fit",
        ),
        (lambda d: schedules(d)[0].update(cron="61 * * * *"), "not a cron expression"),
        (lambda d: schedules(d)[0].update(cronn="0 0 * * *"), "cronn"),
        (lambda d: schedules(d)[0].update(timezone="Australia/Sidney"), "not a time zone"),
        (lambda d: schedules(d)[0].pop("timezone"), "not a time zone"),
        (lambda d: schedules(d)[0].pop("slug"), "without a slug"),
        (lambda d: schedules(d)[0].update(slug="daily-prod"), "is given 2 times"),
        (lambda d: schedules(d)[0].pop("active"), "whether it is active"),
        (lambda d: schedules(d)[0]["parameters"].update(request={"env": "x"}), "do not fit"),
        (trigger(match={}), "must name prefect.resource.id"),
        (trigger(expects=["a"]), "unknown key expects"),
        (trigger(0), "no event may start what changes a system"),
        (lambda d: reword(d, -1, "every 15", "every 20"), "runs every ['15'] minutes"),
    ],
)
def test_what_is_wrong_is_found(original: Document, mutate: Mutation, expected: str) -> None:
    document = copy.deepcopy(original)
    mutate(document)
    assert any(expected in finding for finding in findings(document)), findings(document)


def test_a_sound_trigger_is_let_through(original: Document) -> None:
    document = copy.deepcopy(original)
    trigger()(document)
    assert findings(document) == []
