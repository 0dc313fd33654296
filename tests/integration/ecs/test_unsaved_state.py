"""A state that could not be written: kept, found by the next run, put back on request."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.ecs.small_stack import Heard, Open, apply, notes, open_stream, release
from xops.core.errors import CredentialsError, TemporaryError
from xops.core.lifecycle.watching import Progress
from xops.ecs.run_folder import killed_runs
from xops.ecs.state_recovery import drop_state, push_state
from xops.ecs.stream1 import Stream1
from xops.ecs.unsaved_state import UnsavedStateError

__all__ = ["open_stream"]

Fault = Callable[..., None]
EXPIRED = {"service": "s3", "operation": "PutObject", "error": "ExpiredToken", "status": 400}


@pytest.fixture
def first(open_stream: Open) -> Stream1:
    """A run that has made the state's bucket and has applied `small`."""
    stream = open_stream("small")
    with stream.folder:
        apply(stream, stream.plan())
    return stream


def fail_to_write(stream: Stream1, fault: Fault, **expired: object) -> Exception:
    """An apply during which the state's bucket takes nothing any more; how it ended."""

    def expire(progress: Progress) -> None:
        if "terraform_data.slow: " in progress.message:
            fault(**{**EXPIRED, **expired})
            release(stream.folder.path)

    assert isinstance(stream.watcher, Heard)
    stream.watcher.at_step = expire
    with stream.folder, pytest.raises((CredentialsError, TemporaryError)) as caught:
        apply(stream, stream.plan())
    return caught.value


@pytest.fixture
def failed(first: Stream1, open_stream: Open, fault: Fault) -> Stream1:
    """A run after that, which has made `large` and could not say so in the bucket."""
    stream = open_stream("large", released=False)
    error = fail_to_write(stream, fault)
    assert isinstance(error, CredentialsError)
    assert "`xops ecs state push --environment local`" in error.remedy
    return stream


def errored(stream: Stream1) -> Path:
    return stream.terraform.stack / "errored.tfstate"


def state(stream: Stream1) -> dict[str, object]:
    body = stream.bucket.read(stream.environment.state.key)
    assert body is not None
    found: dict[str, object] = json.loads(body)
    return found


def test_a_state_that_nothing_takes_stays_in_its_run_s_folder_and_is_found(
    failed: Stream1, open_stream: Open, no_faults: Callable[[], None]
) -> None:
    assert errored(failed).is_file()
    assert "stays in" in notes(failed)[-1]
    no_faults()
    unlock(failed)

    later = open_stream("large")
    with pytest.raises(UnsavedStateError) as caught, later.folder:
        later.plan()
    assert str(errored(failed)) in caught.value.found
    assert "newer than the state" in caught.value.found
    run = failed.folder.path.name
    assert f"`xops ecs state push --environment local --run {run}`" in caught.value.remedy
    assert caught.value.exit_code == 1

    before = state(later)
    settled = push_state(open_stream(), None)
    assert settled.run == run
    assert not errored(failed).exists()
    assert state(later)["lineage"] == before["lineage"]
    assert int(str(state(later)["serial"])) > int(str(before["serial"]))
    record = json.loads(Path(settled.evidence).read_text())
    assert (record["kind"], record["state_run"]) == ("state-push", run)

    assert open_stream("large").plan().plan.is_empty


def unlock(stream: Stream1) -> None:
    """What a person does with the lock that the same failure has left."""
    key = f"{stream.environment.state.key}.tflock"
    body = stream.bucket.read(key)
    if body is not None:
        stream.unlock(json.loads(body)["ID"])


def test_a_state_goes_beside_the_state_where_the_bucket_takes_it_again(
    first: Stream1, open_stream: Open, fault: Fault, no_faults: Callable[[], None]
) -> None:
    """The network comes back between Terraform's last try and ours."""
    stream = open_stream("large", released=False)
    fail_to_write(stream, fault)
    no_faults()
    unlock(stream)
    stream.unsaved.keep(stream.folder.path, stream.watcher.note)

    key = f"{stream.environment.state.key}.unsaved/{stream.folder.path.name}.tfstate"
    assert stream.bucket.keys(f"{stream.environment.state.key}.unsaved/") == [key]
    assert not errored(stream).exists()
    assert f"s3://{stream.bucket.name}/{key}" in notes(stream)[-1]
    with pytest.raises(UnsavedStateError, match=key):
        open_stream("large").plan()
    push_state(open_stream(), stream.folder.path.name)
    assert stream.bucket.keys(f"{stream.environment.state.key}.unsaved/") == []
    assert open_stream("large").plan().plan.is_empty


def test_one_that_is_newer_is_not_dropped_and_one_that_is_older_is_not_pushed(
    failed: Stream1, open_stream: Open, no_faults: Callable[[], None]
) -> None:
    no_faults()
    unlock(failed)
    with pytest.raises(UnsavedStateError, match="newer than the state"):
        drop_state(open_stream(), None)

    # Somebody whose machine does not know of it applies, again and again.
    kept = errored(failed).read_bytes()
    errored(failed).unlink()
    for size in ("other", "another", "third"):
        stream = open_stream(size)
        apply(stream, stream.plan())
    errored(failed).write_bytes(kept)

    with pytest.raises(UnsavedStateError, match="older than the state") as caught:
        open_stream("third").plan()
    assert "state drop --environment local" in caught.value.remedy
    with pytest.raises(UnsavedStateError, match="older than the state"):
        push_state(open_stream(), None)
    assert drop_state(open_stream(), None).run == failed.folder.path.name
    assert open_stream("third").plan().plan.is_empty


def test_the_state_itself_is_no_reason_to_refuse(first: Stream1, open_stream: Open) -> None:
    """It was written, and the answer was lost."""
    body = first.bucket.read(first.environment.state.key)
    assert body is not None
    errored(first).write_bytes(body)
    assert open_stream("small").plan().plan.is_empty


def test_a_state_of_another_target_or_bucket_is_none_of_ours(
    first: Stream1, open_stream: Open
) -> None:
    errored(first).write_text("{}")
    with pytest.raises(UnsavedStateError, match="no whole state"):
        open_stream("small").plan()
    facts = json.loads((first.folder.path / "run.json").read_text())
    (first.folder.path / "run.json").write_text(json.dumps({**facts, "target": "aws"}))
    assert open_stream("small").plan().plan.is_empty


def test_one_that_a_full_disk_cut_off_is_found_in_terraform_s_log(
    first: Stream1, open_stream: Open
) -> None:
    """Line and key are Terraform 1.11's; a test of the adapter sees that it prints them."""
    newest = {**state(first), "serial": 99}
    errored(first).touch()
    logs = first.folder.path / "logs"
    line = json.dumps({"@message": "Emergency state dump", "state": newest})
    (logs / "apply.log").write_text(f"{line[:-20]}\n")
    with pytest.raises(UnsavedStateError, match="no whole state"):
        open_stream("small").plan()
    (logs / "apply.log").write_text(f"no JSON\n{line}\n")
    push_state(open_stream(), None)
    assert int(str(state(first)["serial"])) >= 99


def test_the_folder_of_a_state_is_not_called_finished(failed: Stream1, open_stream: Open) -> None:
    path = failed.folder.path
    assert not (path / "finished").exists()
    failed.folder._release()
    assert killed_runs(path.with_name("own")) == [path]


def test_there_is_nothing_to_push_where_nothing_is_kept(first: Stream1, open_stream: Open) -> None:
    with pytest.raises(UnsavedStateError, match="kept: none"):
        push_state(open_stream(), None)
