"""The automations' files: complete, strict, and with templates that render."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.server.utilities.user_templates import render_user_template_sync

from flows.notify import Notice
from tests.contract.prose import is_prose
from xops.core.errors import InputError
from xops.prefect_server import automations
from xops.prefect_server.automations import AutomationFile, RunNamedDeployment

FILES = {file.stem: file for file in sorted(automations.FOLDER.glob("*.yaml"))}


class Anything:
    """What a template may ask for: any attribute, printed as its own path."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __getattr__(self, name: str) -> "Anything":
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(f"{self._path}.{name}")

    def __str__(self) -> str:
        return self._path

    def __len__(self) -> int:
        return len(self._path)


CONTEXT = {name: Anything(name) for name in ("event", "flow", "flow_run", "automation")}


def by_name() -> dict[str, AutomationFile]:
    return {file.name: file for file in automations.read()}


def notices() -> Iterator[tuple[str, RunNamedDeployment]]:
    for name, file in by_name().items():
        for action in file.actions:
            if isinstance(action, RunNamedDeployment):
                yield name, action


def test_each_file_is_read_and_each_name_is_given_once() -> None:
    assert len(by_name()) == len(FILES) >= 4


def test_each_says_in_sentences_what_it_does_and_where_its_notice_goes() -> None:
    told = {name for name, _ in notices()}
    for name, file in by_name().items():
        assert is_prose(file.description), name
        assert ("xops-notification/default" in file.description) is (name in told), name


def test_every_notice_goes_to_the_deployment_and_fits_its_model() -> None:
    for name, action in notices():
        assert action.deployment == "notify/notify", name
        rendered = {
            field: render_user_template_sync(template, CONTEXT)
            for field, template in action.parameters["notice"].items()
        }
        notice = Notice.model_validate(rendered)
        assert notice.subject.startswith("xOps: ")
        assert notice.event_id == "event.id", f"{name}: say which event it is about"


@pytest.mark.parametrize("name", ["xops: failed runs", "xops: zombie runs"])
def test_only_watched_runs_are_looked_after(name: str) -> None:
    """A notice that fails would report itself; one that ends before its beat is no zombie."""
    related = by_name()[name].trigger.match_related.model_dump()  # type: ignore[union-attr]
    assert related["prefect.resource.id"] == "prefect.tag.xops-watched"


def test_the_watcher_of_failed_actions_does_not_watch_itself() -> None:
    watcher = by_name()["xops: failed automation actions"]
    assert watcher.trigger.match.model_dump()["prefect.resource.name"] == f"!{watcher.name}"  # type: ignore[union-attr]


def test_a_suspended_run_is_no_zombie() -> None:
    trigger = by_name()["xops: zombie runs"].trigger
    assert trigger.posture == "Proactive"
    # Suspended is one of these: whatever a run says last but a heartbeat ends the wait for one.
    assert trigger.expect == {"prefect.flow-run.*"}


SOUND = yaml.safe_load(FILES["failed-runs"].read_text())


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"enabledd": True}, "enabledd: is not a known key"),
        ({"name": "failed runs"}, "name: "),
        ({"description": ""}, "description: "),
        ({"actions": []}, "actions: "),
        ({"trigger": {**SOUND["trigger"], "expects": ["a"]}}, "does not know: expects"),
        ({"trigger": {**SOUND["trigger"], "match": {}}}, "must name prefect.resource.id"),
        ({"trigger": {"type": "metric"}}, "trigger"),
        ({"actions": [{**SOUND["actions"][0], "deployment": "notify"}]}, "deployment"),
        ({"actions": [{**SOUND["actions"][0], "paramters": {}}]}, "paramters"),
        (
            {"actions": [{"type": "change-flow-run-state", "state": "CRASHED", "mesage": ""}]},
            "mesage",
        ),
        ({"actions": [{"type": "declare-incident"}]}, "actions.0"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_prefect_would_drop_or_never_fire_is_refused(
    tmp_path: Path, changes: dict[str, Any], finding: str
) -> None:
    (tmp_path / "automation.yaml").write_text(yaml.safe_dump({**SOUND, **changes}))
    with pytest.raises(InputError) as caught:
        automations.read(tmp_path)
    assert finding in str(caught.value)
