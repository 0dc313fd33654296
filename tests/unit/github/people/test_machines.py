"""Which identities are machines', and which only look so."""

import pytest

from xops.github.people.identities import Identity
from xops.github.people.machines import Machines, behaves_like_a_machine, named_like_a_machine

MACHINES = [
    Identity(login="dependabot", bot=True),
    Identity(login="renovate[bot]"),
    Identity(login="konstruct-bot", email="konstruct-bot@konstruct.io", name="konstruct-bot"),
    Identity(email="semantic-release-bot@martynus.net", name="semantic-release-bot"),
    Identity(email="ci@argoproj.com", name="CI"),
    Identity(login="k8s-ci-robot"),
    Identity(login="acme_bot2"),
    Identity(login="robot-jules"),
    Identity(email="noreply@github.com", name="GitHub"),
    Identity(email="merge-no-reply@acme.com", name="Merge"),
    Identity(email="project_7_bot_0af9@noreply.gitlab.acme.com", name="TOKEN"),
    Identity(email="198982749+Copilot@users.noreply.github.com", name="Copilot"),
    Identity(login="copilot-swe-agent"),
    Identity(email="codex@openai.com", name="Codex"),
    Identity(email="qwen-coder@alibabacloud.com", name="Qwen-Coder"),
    Identity(email="noreply@anthropic.com", name="Claude"),
    Identity(email="cursoragent@cursor.com", name="Cursor Agent"),
    Identity(email="openhands@all-hands.dev", name="openhands"),
    Identity(email="158243242+devin-ai-integration[bot]@users.noreply.github.com", name="Devin"),
    Identity(login="google-labs-jules[bot]"),
    Identity(email="github-actions@acme.com", name="github-actions"),
    Identity(email="team@acme.com", name="GitHub Action"),
    Identity(email="merger@acme.iam.gserviceaccount.com", name="Merger"),
]

PEOPLE = [
    Identity(login="abbot", email="abbot@example.com", name="Abbot"),
    Identity(login="cibele", email="cibele@example.com", name="Cibele"),
    Identity(login="talbot-m", email="m.talbot@example.com", name="Marcia Talbot"),
    Identity(email="jan.bot@example.nl", name="Jan de Wit"),
    Identity(login="robottini", name="Roberto Bottini"),
    Identity(login="francis", email="f.ci@example.com", name="Francis"),
    Identity(login="noreen", email="noreen.plyth@example.com", name="Noreen Plyth"),
    Identity(login="claudette", name="Claude Monet"),
    Identity(email="12+lucia-mancini@users.noreply.github.com", name="Lucia Mancini"),
    # As they are called in public histories.
    Identity(email="6+ashley-abbott@users.noreply.github.com", name="Ashley Abbott"),
    Identity(login="ChrisSidebotham", name="ChrisSidebotham-MSFT"),
    Identity(login="jessebot", email="jessebot@example.com", name="JesseBot"),
    Identity(email="66+jake-ciolek@users.noreply.github.com", name="Jakub Ciolek"),
    Identity(login="romanini-ciandt", name="Leonardo Romanini"),
    Identity(email="agent.xp@example.com", name="Ilya Nemakov"),
]


@pytest.mark.parametrize("who", MACHINES, ids=lambda who: who.account or who.email)
def test_a_machine_is_told_by_its_name(who: Identity) -> None:
    assert Machines().reason(who)


@pytest.mark.parametrize("who", PEOPLE, ids=lambda who: who.account or who.email)
def test_a_person_whose_name_resembles_a_machines_is_a_person(who: Identity) -> None:
    assert Machines().reason(who) == ""
    assert Machines().doubt(who) == ""


@pytest.mark.parametrize(
    "who",
    [
        Identity(email="jan@example.nl", name="Jan Bot"),
        Identity(email="release@acme.com", name="Release Bot"),
        Identity(email="travis@acme.com", name="Travis"),
        Identity(login="jenkins"),
        Identity(email="tfc@acme.com", name="Terraform Cloud"),
        Identity(email="hosted@acme.com", name="Hosted Weblate"),
        Identity(login="ann", name="certainly-no-bot"),
    ],
    ids=lambda who: who.account or who.email,
)
def test_a_name_of_people_and_of_machines_is_doubtful(who: Identity) -> None:
    assert Machines().reason(who) == ""
    assert "may be the name of a machine" in Machines().doubt(who)
    declared = Machines(people=frozenset({who.account.lower() or who.email}))
    assert declared.doubt(who) == ""


@pytest.mark.parametrize(
    ("pattern", "who"),
    [
        ("acme-deploy*", Identity(login="acme-Deployer")),
        ("*@ci.acme.com", Identity(email="build@CI.acme.com")),
        ("Build ?", Identity(email="x@acme.com", name="build 7")),
        ("renovate[bot]", Identity(login="Renovate")),
        ("acme-deployer", Identity(email="1+acme-deployer@users.noreply.github.com")),
        ("[ab]c", Identity(login="x", name="[ab]c")),
    ],
)
def test_a_declared_pattern_matches_logins_addresses_and_names(pattern: str, who: Identity) -> None:
    assert Machines([pattern]).reason(who) == f"github.bots declares {pattern}"


@pytest.mark.parametrize(
    "who", [Identity(login="acme"), Identity(login="ac", name="b c"), Identity(email="a@acme.com")]
)
def test_a_pattern_matches_the_whole_of_a_name_only(who: Identity) -> None:
    assert Machines(["cme*", "acm", "[ab]c", "a@acme"]).reason(who) == ""


def test_who_is_declared_to_be_a_person_is_none_by_name_but_by_what_github_says() -> None:
    rules = Machines(["deploy"], frozenset({"lucia-ci", "deploy"}))
    assert rules.reason(Identity(login="Lucia-CI")) == ""
    assert rules.reason(Identity(login="lucia-ci", bot=True))
    assert rules.reason(Identity(login="deploy"))
    assert named_like_a_machine("lucia-ci")
    assert not named_like_a_machine("lucia@acme.com")


SUBJECTS = [f"chore(release): version {n}.0.{n} [skip ci]" for n in range(20)]


@pytest.mark.parametrize(
    ("subjects", "takes_part", "doubtful"),
    [
        (SUBJECTS, False, True),
        (SUBJECTS, True, False),
        (SUBJECTS[:19], False, False),
        ([*SUBJECTS, "Fix it", "Undo", "Again"], False, True),
        ([*SUBJECTS, "Fix it", "Undo", "Again", "Now"], False, False),
        ([""] * 30, False, False),
        ([f"Update image to {n:040x}" for n in range(20)], False, True),
    ],
)
def test_commits_of_one_shape_by_who_never_takes_part_may_be_a_machines(
    subjects: list[str], takes_part: bool, doubtful: bool
) -> None:
    assert bool(behaves_like_a_machine(subjects, takes_part=takes_part)) is doubtful
