import pytest

from xops.local.aws.ecs.images import Behaviour, behaviour


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("ghcr.io/open-webui/open-webui:0.6.1", Behaviour()),
        ("registry:5000/crew", Behaviour()),
        ("registry:5000/xops-cannot-pull", Behaviour()),
        ("crew:2.1-xops-cannot-pull", Behaviour(cannot_pull=True)),
        ("registry:5000/a/crew:xops-exit-137", Behaviour(exit_code=137)),
        ("crew:xops-exit-0", Behaviour(exit_code=0)),
        ("crew:xops-unhealthy", Behaviour(unhealthy=True)),
        ("crew:xops-target-unhealthy", Behaviour(target_unhealthy=True)),
        ("crew:xops-exit-3@sha256:abc", Behaviour(exit_code=3)),
        ("crew@sha256:abc", Behaviour()),
    ],
)
def test_the_tag_alone_selects_the_behaviour(image: str, expected: Behaviour) -> None:
    assert behaviour(image) == expected
