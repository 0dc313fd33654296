"""What K3S does otherwise from release to release."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xops.k3s.release import behaviour
from xops.k3s.release.lock import Lock

QUESTIONS: tuple[Callable[[str], bool], ...] = (
    behaviour.pins_images_again,
    behaviour.separates_s3_retention,
    behaviour.refuses_cgroup_v1,
)


@pytest.mark.parametrize(
    ("question", "version", "answer"),
    [
        (behaviour.pins_images_again, "v1.36.4+k3s1", True),
        (behaviour.pins_images_again, "v1.36.2+k3s1", False),
        (behaviour.pins_images_again, "v1.35.8+k3s1", True),
        (behaviour.pins_images_again, "v1.35.6+k3s1", False),
        (behaviour.pins_images_again, "v1.34.10+k3s1", True),
        (behaviour.pins_images_again, "v1.34.9+k3s1", False),
        (behaviour.pins_images_again, "v1.32.99+k3s1", False),
        (behaviour.pins_images_again, "v1.37.0+k3s1", True),
        (behaviour.separates_s3_retention, "v1.34.1+k3s1", True),
        (behaviour.separates_s3_retention, "v1.35.0+k3s1", True),
        (behaviour.separates_s3_retention, "v1.33.3+k3s1", False),
        (behaviour.separates_s3_retention, "v1.33.4+k3s1", True),
        (behaviour.refuses_cgroup_v1, "v1.34.10+k3s1", False),
        (behaviour.refuses_cgroup_v1, "v1.35.0-rc1+k3s1", True),
        (behaviour.refuses_cgroup_v1, "v2.0.0", True),
    ],
)
def test_a_release_is_told_from_the_one_before(
    question: Callable[[str], bool], version: str, answer: bool
) -> None:
    assert question(version) is answer


@pytest.mark.parametrize("question", QUESTIONS)
@given(minor=st.integers(0, 60), patch=st.integers(0, 30), more=st.integers(0, 30))
def test_what_a_line_has_it_keeps(
    question: Callable[[str], bool], minor: int, patch: int, more: int
) -> None:
    if question(f"v1.{minor}.{patch}+k3s1"):
        assert question(f"v1.{minor}.{patch + more}+k3s2")


@pytest.mark.parametrize("question", QUESTIONS)
@given(st.text())
def test_what_is_no_release_has_nothing(question: Callable[[str], bool], text: str) -> None:
    assert question(f"x{text}") is False


def test_every_locked_release_is_one() -> None:
    assert all(len(behaviour.order(version)) == 4 for version in Lock.load().versions)
