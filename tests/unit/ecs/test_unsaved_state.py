"""How a state that could not be written compares with the state. Pure."""

import json
from typing import Any

import pytest

from xops.ecs.unsaved_state import Standing, StateVersion, UnsavedState


def body(serial: int, lineage: str = "l", names: tuple[str, ...] = ("a",)) -> bytes:
    rows: list[dict[str, Any]] = [
        {"mode": "managed", "type": "terraform_data", "name": name} for name in names
    ]
    rows.append({"mode": "data", "type": "aws_region", "name": "this"})
    return json.dumps({"lineage": lineage, "serial": serial, "resources": rows}).encode()


CURRENT = StateVersion.parse(body(5))


@pytest.mark.parametrize(
    ("kept", "current", "standing"),
    [
        (body(6), CURRENT, Standing.NEWER),
        (body(6), None, Standing.NEWER),
        (body(5), CURRENT, Standing.SAME),
        (body(4), CURRENT, Standing.OLDER),
        (body(5, names=("b",)), CURRENT, Standing.OTHER),
        (body(6, lineage="other"), CURRENT, Standing.OTHER),
        (b"", CURRENT, Standing.DAMAGED),
        (body(6)[:-9], None, Standing.DAMAGED),
        (b"[]", None, Standing.DAMAGED),
        (b'{"lineage": "l"}', None, Standing.DAMAGED),
        (b'{"lineage": "l", "serial": null}', None, Standing.DAMAGED),
        (b"\xff", None, Standing.DAMAGED),
    ],
)
def test_how_it_compares(kept: bytes, current: StateVersion | None, standing: Standing) -> None:
    assert UnsavedState("r", kept).standing(current) is standing
    assert standing in UnsavedState("r", kept).describe(current, "file")


def test_what_it_alone_knows_is_named_and_counted() -> None:
    rows = {"type": "aws_lb", "name": "this", "module": "module.web"}
    found = json.loads(body(6, names=tuple("bcdefg")))
    found["resources"].append({"mode": "managed", **rows})
    told = UnsavedState("r", json.dumps(found).encode()).describe(CURRENT, "s3://b/k")
    assert told == (
        "s3://b/k (serial 6, newer than the state: serial 5; it alone knows module.web.aws_lb.this,"
        " terraform_data.b, terraform_data.c, terraform_data.d, terraform_data.e and 2 more)"
    )
    assert "there is none" in UnsavedState("r", body(1)).describe(None, "f")
