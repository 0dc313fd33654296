"""Whatever lies where a server's record should be, the answer is a record or none."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xops.core.process import ServiceProcess
from xops.local.services import read_record

KEYS = st.sampled_from(["pid", "start", "boot", "created", "port"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(KEYS, inner))
NEAR = st.fixed_dictionaries(
    {"pid": VALUES | st.just(os.getpid()), "port": VALUES | st.just(4200)},
    optional={"start": VALUES, "boot": VALUES, "created": VALUES},
)


def read(content: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "one.json").write_bytes(content)
        return read_record(Path(folder), "one")


@given(st.binary())
def test_bytes(content: bytes) -> None:
    assert read(content) is None


@given(VALUES | NEAR)
def test_json_of_any_shape(value: Any) -> None:
    assert read(json.dumps(value).encode()) is None


@given(st.none() | st.integers(1, 2**16 - 1))
def test_a_record_is_read(port: int | None) -> None:
    me = ServiceProcess.find(os.getpid())
    assert me is not None
    found = read(json.dumps({**vars(me), "port": port}).encode())
    assert found is not None
    assert vars(found) == {"process": me, "port": port}
