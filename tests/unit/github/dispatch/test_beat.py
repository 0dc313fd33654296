"""Signs of life of the dispatcher."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from xops.core.files.private_file import write_private
from xops.prefect_server.dispatcher_beat import Beat, healthy, read_beat, write_beat


def leave(home: Path, beat: Beat | str) -> None:
    text = beat if isinstance(beat, str) else beat.model_dump_json()
    write_private(home / "github" / "dispatcher.json", text)


def test_who_lives_is_healthy_and_says_what_it_waits_for(tmp_path: Path) -> None:
    write_beat(tmp_path, 3, "the server is down")
    beat = read_beat(tmp_path)
    assert beat is not None
    assert (beat.pid, beat.waiting, beat.failing) == (os.getpid(), 3, "the server is down")
    assert healthy(tmp_path)
    write_beat(tmp_path, None, "")
    assert healthy(tmp_path)


@pytest.mark.parametrize("age", [timedelta(minutes=1), -timedelta(minutes=1)])
def test_who_has_been_silent_or_speaks_from_another_time_is_not(
    tmp_path: Path, age: timedelta
) -> None:
    leave(tmp_path, Beat(pid=os.getpid(), at=datetime.now(UTC) - age, waiting=0, failing=""))
    assert not healthy(tmp_path)


def test_who_has_ended_is_not(tmp_path: Path) -> None:
    leave(tmp_path, Beat(pid=2**22 + 1, at=datetime.now(UTC), waiting=0, failing=""))
    assert not healthy(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": "x"}', "\x00"])
def test_a_file_of_another_shape_is_no_sign_of_life(tmp_path: Path, text: str) -> None:
    leave(tmp_path, text)
    assert not healthy(tmp_path)
    assert not healthy(tmp_path / "nowhere")
