"""What people can write on a pull request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import HOSTILE
from xops.github.pull_request.commands import USAGE, Command, NotACommand, Verb, parse


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("xops plan", Command(Verb.PLAN)),
        ("xops  apply\tprod ", Command(Verb.APPLY, "prod")),
        ("xops UNLOCK Test", Command(Verb.UNLOCK, "test")),
        ("xops apply pre-prod2", Command(Verb.APPLY, "pre-prod2")),
    ],
)
def test_a_command_is_a_verb_and_an_environment_perhaps(line: str, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    "line", ["", " ", "plan", "XOPS plan", "xopsplan", "> xops apply", "`xops`"]
)
def test_what_does_not_begin_with_xops_is_not_addressed_to_it(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("xops", "nothing is asked for"),
        ("xops aply", "aply is no command"),
        ("xops apply prod test", "2 words are given"),
        ("xops apply please, prod", "2 words are given"),
        ("xops apply -d", "-d is no name of an environment"),
        ("xops apply ../prod", "../prod is no name"),
        ("xops apply prod;", "prod; is no name"),
        ("xops apply 'prod'", "is no name"),
        ("xops plan --apply", "--apply is no name"),
        ("xops " + "a" * 190, "a" * 40 + "... is no command"),
    ],
)
def test_anything_else_is_answered_and_never_carried_out(line: str, found: str) -> None:
    answer = parse(line)
    assert isinstance(answer, NotACommand)
    assert found in answer.found


@given(st.text(max_size=60) | st.sampled_from(list(HOSTILE.values())))
def test_every_line_is_a_command_or_an_answer(text: str) -> None:
    found = parse(f"xops {text}")
    if isinstance(found, Command):
        words = text.split()
        assert words[0].lower() == found.verb
        assert [word.lower() for word in words[1:]] == [found.environment] * bool(found.environment)
    else:
        assert isinstance(found, NotACommand)


def test_each_line_of_the_usage_is_a_command() -> None:
    for line in USAGE:
        for written in (line.replace("ENVIRONMENT", "prod").strip("]").replace("[", ""),):
            assert isinstance(parse(written), Command), written
