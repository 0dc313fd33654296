"""What `xops clean` and `xops forget` remove of an installation's folder, and what they leave."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from xops.core.errors import PermanentError
from xops.ecs import run_folder
from xops.local import home


def installation(folder: Path) -> Path:
    """A home with something of everything."""
    for name in (*home.REMADE, *home.KEPT, "a-person-s-own"):
        (folder / name).mkdir(parents=True)
        (folder / name / "content").touch()
    for target in ("embedded", "aws", "localstack"):
        run = folder / "runs" / "prod" / target
        run.mkdir(parents=True)
        (run / run_folder.FACTS).write_text(json.dumps({"target": target, "state": "s3://a/b"}))
    (folder / "runs" / "prod" / "of-a-release-before").mkdir()
    return folder


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_clean_leaves_all_that_cannot_be_made_again(tmp_path: Path) -> None:
    place = installation(tmp_path / "home")
    home.remove(place, home.remade(place))
    assert names(place) == {*home.KEPT, "a-person-s-own"}
    assert names(place / "runs" / "prod") == {"aws", "localstack", "of-a-release-before"}
    assert home.remade(place) == []
    assert {path.name for path in home.kept(place)} == names(place)


def test_forget_leaves_what_is_not_of_xops(tmp_path: Path) -> None:
    place = installation(tmp_path / "home")
    home.remove(place, home.forgettable(place))
    assert names(place) == {*home.REMADE, "a-person-s-own"}


def test_the_only_copy_of_a_state_stays_whatever_the_target(tmp_path: Path) -> None:
    place = installation(tmp_path / "home")
    stack = place / "runs" / "prod" / "embedded" / "terraform" / "stacks" / "stream1"
    stack.mkdir(parents=True)
    (stack / run_folder.ERRORED_STATE).touch()
    home.remove(place, home.remade(place))
    assert (stack / run_folder.ERRORED_STATE).exists()


def test_nothing_is_removed_while_a_run_is_at_work(tmp_path: Path) -> None:
    place = installation(tmp_path / "home")
    handle = os.open(place / "runs" / "prod" / "aws", os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        before = names(place)
        with pytest.raises(PermanentError, match="a run is at work"):
            home.remove(place, home.remade(place))
        assert names(place) == before
    finally:
        os.close(handle)


def test_of_a_link_the_link_is_removed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    place = tmp_path / "home"
    place.mkdir()
    for name in ("cache", "evidence"):
        (place / name).symlink_to(elsewhere)
    home.make_private(place)
    home.remove(place, [*home.remade(place), *home.forgettable(place)])
    assert names(place) == set()
    assert (elsewhere / "kept").exists()


def test_what_a_release_before_made_for_everybody_is_closed_and_nobody_writes_beside_it(
    tmp_path: Path,
) -> None:
    place = installation(tmp_path / "home")
    for path in (place, *place.iterdir()):
        path.chmod(0o777)
    home.make_private(place)
    modes = {path.name: path.stat().st_mode & 0o777 for path in place.iterdir()}
    assert modes == {**dict.fromkeys((*home.REMADE, *home.KEPT), 0o700), "a-person-s-own": 0o777}
    assert place.stat().st_mode & 0o777 == 0o775


def test_a_folder_for_everybody_stays_one(tmp_path: Path) -> None:
    """As a person may name /tmp: it is nobody's to close."""
    tmp_path.chmod(0o1777)
    home.make_private(tmp_path)
    assert tmp_path.stat().st_mode & 0o7777 == 0o1777
