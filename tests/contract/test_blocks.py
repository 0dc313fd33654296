"""The block types: fixed slugs, references only, and what each turns its fields into."""

import ast
import importlib
import json
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from prefect.blocks.core import Block
from pydantic import ValidationError

import blocks
from blocks import AwsAccess, EcsEnvironment, Notification
from tests.contract.prose import form_findings, is_prose, untitled
from xops.core.errors import InputError

# A slug is the primary key of what people have saved: it never changes.
SLUGS = {
    AwsAccess: "xops-aws-access",
    EcsEnvironment: "xops-environment",
    Notification: "xops-notification",
}
ROLE = "arn:aws:iam::123456789012:role/xops-run"
TOPIC = "arn:aws:sns:ap-southeast-2:123456789012:xops"
SECRET = "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:xops/hook-AbCdEf"


@pytest.mark.parametrize(("kind", "slug"), SLUGS.items(), ids=SLUGS.values())
def test_a_type_keeps_its_slug_and_holds_no_secret(kind: type[Block], slug: str) -> None:
    schema = kind.model_json_schema()
    assert kind.get_block_type_slug() == slug
    assert schema["secret_fields"] == []
    assert "password" not in json.dumps(schema)


def test_no_type_is_left_out() -> None:
    for module in pkgutil.iter_modules(blocks.__path__):
        importlib.import_module(f"blocks.{module.name}")
    ours = {kind for kind in Block.__subclasses__() if kind.__module__.startswith("blocks.")}
    assert SLUGS.keys() == ours == {getattr(blocks, name) for name in blocks.__all__}


every_type = pytest.mark.parametrize("kind", SLUGS, ids=SLUGS.values())


@every_type
def test_the_ui_says_what_a_type_and_its_fields_are(kind: type[Block]) -> None:
    assert is_prose(kind.get_description())
    assert list(form_findings(kind.model_json_schema())) == []
    assert untitled(kind) == []


@every_type
def test_the_example_of_a_type_is_code_that_exists(kind: type[Block]) -> None:
    said = re.fullmatch(r"```python\n(.+)\n```", (kind.get_code_example() or "").strip(), re.DOTALL)
    assert said
    tree = ast.parse(said[1])
    names = [
        (each.module, alias.name)
        for each in ast.walk(tree)
        if isinstance(each, ast.ImportFrom)
        for alias in each.names
    ]
    assert names == [("blocks", kind.__name__)]
    called = {each.attr for each in ast.walk(tree) if isinstance(each, ast.Attribute)}
    assert all(hasattr(kind, name) for name in called), called
    assert hasattr(importlib.import_module("blocks"), kind.__name__)


Make = Callable[[], Block]


@pytest.mark.parametrize(
    "make",
    [
        lambda: AwsAccess(),
        lambda: AwsAccess(profile="a", role_arn=ROLE),
        lambda: AwsAccess(role_arn="xops-run"),
        lambda: AwsAccess(role_arn=ROLE, credential_source="Environment"),  # type: ignore[arg-type]
        lambda: AwsAccess(role_arn=ROLE, session_name="a\nsource_profile = b"),
        lambda: AwsAccess(role_arn=f"{ROLE}\ncredential_process = x"),
        lambda: AwsAccess(profile="a\n[profile b]"),
        lambda: Notification(kind="sns"),
        lambda: Notification(kind="sns", topic_arn="xops"),
        lambda: Notification(kind="webhook"),
        lambda: Notification(kind="webhook", topic_arn=TOPIC),
        lambda: Notification(kind="webhook", url_variable="HOOK", url_secret_arn=SECRET),
        lambda: Notification(kind="webhook", url_variable="https://hooks.example.com/T0/B0/x"),
        lambda: Notification(kind="log", url_variable="HOOK"),
        lambda: EcsEnvironment(environment="production"),
        lambda: EcsEnvironment(environment="local", target="gcp"),  # type: ignore[arg-type]
    ],
)
def test_what_does_not_fit_together_is_refused(make: Make) -> None:
    with pytest.raises(ValidationError):
        make()


# As documents are saved: every field, those that were left empty as null.
FITTING: list[tuple[type[Block], dict[str, Any]]] = [
    (Notification, {}),
    (Notification, dict.fromkeys(["topic_arn", "url_variable", "url_secret_arn"])),
    (Notification, {"kind": "sns", "topic_arn": TOPIC, "url_variable": None}),
    (Notification, {"kind": "webhook", "topic_arn": None, "url_variable": "HOOK"}),
    (Notification, {"kind": "webhook", "url_variable": None, "url_secret_arn": SECRET}),
]
UNFITTING: list[tuple[type[Block], dict[str, Any]]] = [
    (Notification, {"kind": "sns"}),
    (Notification, {"topic_arn": TOPIC}),
    (Notification, {"kind": "log", "url_variable": "HOOK"}),
    (Notification, {"kind": "webhook", "topic_arn": TOPIC}),
    (Notification, {"kind": "webhook", "url_variable": "HOOK", "url_secret_arn": SECRET}),
]


@pytest.mark.parametrize(("kind", "values"), FITTING, ids=str)
def test_the_schema_takes_what_the_block_takes(kind: type[Block], values: dict[str, Any]) -> None:
    Draft202012Validator(kind.model_json_schema()).validate(values)
    assert kind.model_validate(values)


@pytest.mark.parametrize(("kind", "values"), UNFITTING, ids=str)
def test_the_schema_refuses_what_the_block_refuses(
    kind: type[Block], values: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(values)
    assert not Draft202012Validator(kind.model_json_schema()).is_valid(values)


def test_a_document_comes_before_the_file_and_the_request_before_both() -> None:
    block = EcsEnvironment(environment="prod", target="localstack")
    assert block.load_environment().target == "localstack"
    assert block.load_environment("embedded").target == "embedded"


def test_neither_a_document_nor_a_request_permits_a_target() -> None:
    with pytest.raises(InputError, match="is aws, which the file does not permit"):
        EcsEnvironment(environment="prod", target="aws").load_environment()
    with pytest.raises(InputError, match="is aws, which the file does not permit"):
        EcsEnvironment(environment="prod").load_environment("aws")


def test_a_document_that_was_saved_earlier_is_still_one_unless_it_sets_policy() -> None:
    saved = {"environment": "prod", "target": None, "aws_access": None, "evidence": None}
    assert EcsEnvironment.model_validate(saved).environment == "prod"
    with pytest.raises(ValidationError, match="evidence is policy now"):
        EcsEnvironment.model_validate(saved | {"evidence": {"store": "folder"}})


KEYS = {"AWS_ACCESS_KEY_ID": "canary", "AWS_SECRET_ACCESS_KEY": "canary", "PATH": "/bin"}


def test_a_profile_takes_the_place_of_keys_that_happen_to_be_set() -> None:
    environ = AwsAccess(profile="operations").environ(KEYS)
    assert environ == {"PATH": "/bin", "AWS_PROFILE": "operations"}


def test_a_role_becomes_a_configuration_file_without_a_secret(tmp_path: Path) -> None:
    access = AwsAccess(role_arn=ROLE, session_name="xops-prod")
    environ = access.environ(KEYS, tmp_path)
    file = Path(environ["AWS_CONFIG_FILE"])
    assert file.read_text().splitlines() == [
        "[profile xops]",
        f"role_arn = {ROLE}",
        "credential_source = EcsContainer",
        "role_session_name = xops-prod",
    ]
    assert "canary" not in str(environ)
    assert access.environ(KEYS, tmp_path) == environ
    assert list(tmp_path.iterdir()) == [file]


def test_without_access_of_its_own_an_environment_takes_the_workers() -> None:
    block: Any = EcsEnvironment(environment="local")
    assert block.environ(KEYS) == KEYS
