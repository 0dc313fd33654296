"""Which identities are machines': what GitHub says, what is declared, names and behaviour.

A machine is left out where its name or GitHub says so. Behaviour alone leaves nobody out: it
makes doubtful, and says why.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from xops.github.people.identities import Identity, private_account
from xops.github.people.names import is_full, words

RULES = 1
"""Counted up whenever other identities are told to be machines than before."""

KNOWN = frozenset(
    {
        "action@github.com", "actions-user", "actions@github.com", "allcontributors",
        "argocd-image-updater", "codecov-commenter", "codecov-io", "coveralls", "dependabot",
        "dependabot-preview", "fluxcdbot", "github-actions", "greenkeeperio", "imgbot", "mergify",
        "pre-commit-ci", "pyup-bot", "renovate", "web-flow", "weblate", "whitesource-bolt",
        # Programs that write code.
        "agent@warp.dev", "aider@aider.chat", "amazon-q-developer", "amp@ampcode.com", "claude",
        "claude@anthropic.com", "coderabbitai", "codex@openai.com", "copilot",
        "copilot-pull-request-reviewer", "copilot-swe-agent", "copilot@github.com",
        "crush@charm.land", "cursoragent", "cursoragent@cursor.com", "devin-ai-integration",
        "factory-droid", "gemini-cli@google.com", "gemini-code-assist", "google-labs-jules",
        "jules@google.com", "openhands-agent", "openhands@all-hands.dev",
        "qwen-coder@alibabacloud.com", "sourcery-ai", "sweep-ai",
    }
)  # fmt: skip
"""Logins and addresses of well-known programs that GitHub does not always mark as bots."""

# `-bot`, `bot-`, `-ci`, ... around a hyphen or an underscore: neither Abbot nor Cibele, and not
# jan.bot@, whose family name it may be.
_LAST = frozenset({"bot", "robot", "ci", "cicd", "automation"})
_FIRST = frozenset({"bot", "robot", "ci", "cicd"})
_WHOLE = _FIRST | {
    "argocd-image-updater", "buildbot", "circleci", "dependabot", "fluxcdbot", "github action",
    "github actions", "github-actions", "github copilot", "mergify", "renovate",
    "semantic-release", "teamcity",
}  # fmt: skip

# No words of people's names: Terraform Cloud, Hosted Weblate, Azure Pipelines.
_PROGRAMS = frozenset(
    {
        "argocd", "atlantis", "autorelease", "buildkite", "concourse", "crowdin", "fluxcd",
        "github", "gitlab", "gitops", "pipelines", "server", "tekton", "terraform", "vercel",
        "weblate",
    }
)  # fmt: skip

# What machine users are called after, without what people call addresses after: github@, +gitlab@.
_TASKS = (_PROGRAMS - {"github", "gitlab"}) | {
    "agent", "automation", "build", "deploy", "deployer", "machine", "pipeline", "release",
    "releaser", "runner", "service", "svc", "sync", "system",
}  # fmt: skip
_FAMILIES = ("abbot", "cabot", "chabot", "sabot", "talbot")

# Programs, and people's names.
_EITHER = frozenset({"jenkins", "travis"})
_APART = re.compile(r"[-_]")

_SHAPE = re.compile(r"\b[0-9a-f]{7,40}\b|\d+")
_SHAPE_LENGTH = 20
_FEWEST = 20
_SHARE = 0.85


class Machines:
    """Tells machines from people, and why.

    Args:
        declared: logins, addresses and names; `*` and `?` match as in a shell.
        people: logins and addresses (lower case) that are declared to be people's, whatever they
            are called.
    """

    def __init__(self, declared: Iterable[str] = (), people: frozenset[str] = frozenset()) -> None:
        self._declared = [(pattern, _shell(pattern)) for pattern in declared]
        self._people = people
        self._told: dict[Identity, str] = {}

    def reason(self, who: Identity) -> str:
        """Why it is a machine's; empty if nothing says so."""
        if (told := self._told.get(who)) is None:
            told = self._told[who] = self._reason(who)
        return told

    def doubt(self, who: Identity) -> str:
        """Why it may be a machine's, though nothing says so for certain; empty if it is not."""
        if self._is_declared_person(who):
            return ""
        parts = who.name.lower().split()
        named = len(parts) > 1 and (_bare(parts[-1]) in _LAST or _bare(parts[0]) in _FIRST)
        named = named or not _PROGRAMS.isdisjoint(parts)
        if named or _is_a_machines(who.name.lower()) or _may_be_either(who):
            return f"{who.name or who.account or who.email} may be the name of a machine"
        return ""

    def _reason(self, who: Identity) -> str:
        if who.bot:
            return "GitHub calls it a bot"
        for text in (who.account, who.name):
            if text.lower().endswith("[bot]"):
                return f"its name, {text}, ends in [bot]"
        for pattern, found in self._declared:
            if any(fnmatchcase(text, found) for text in _names(who)):
                return f"github.bots declares {pattern}"
        return "" if self._is_declared_person(who) else _by_name(who)

    def _is_declared_person(self, who: Identity) -> bool:
        return not self._people.isdisjoint({who.account.lower(), who.email.lower()})


def named_like_a_machine(identity: str) -> bool:
    """Whether a login or an address would be a machine's by its name alone."""
    login, email = ("", identity) if "@" in identity else (identity, "")
    return bool(_by_name(Identity(login=login, email=email)))


def is_a_persons(name: str) -> bool:
    """Whether it is a full name, of words that are no machine's."""
    return is_full(name) and words(name).isdisjoint(_TASKS | _PROGRAMS | _LAST)


def called_like_a_machine(identities: Iterable[str]) -> str:
    """Why logins and addresses may be a machine user's, if no person's name is written with them.

    Of those that merely end in `bot`, as many are people's as machines'.
    """
    for identity in identities:
        label = identity.partition("@")[0].partition("+")[0]
        if any(map(_is_for_a_task, _APART.split(label))):
            return f"{label} may be a machine user, and writes no full name"
    return ""


def _may_be_either(who: Identity) -> bool:
    return not is_full(who.name) and not _EITHER.isdisjoint(_labels(who))


def _is_for_a_task(word: str) -> bool:
    bare = _bare(word)
    return bare in _TASKS or (bare.endswith("bot") and not bare.endswith(_FAMILIES))


def behaves_like_a_machine(subjects: Sequence[str], *, takes_part: bool) -> str:
    """Why commits look like a machine's; empty if they do not.

    Measured on 59 public histories: of 293 authors of 20 commits or more who have no machine's
    name, four have 85 % of one shape: three machines, and a translator, who has pull requests.
    Hours tell nothing: people who commit for long enough do so at 19 to 23 of the 24.

    Args:
        subjects: first lines of the messages of the commits that somebody is the author of,
            without merges.
        takes_part: whether he or she reviewed pull requests, or had some merged and writes a full
            name: machine users open pull requests as well.
    """
    if takes_part or len(subjects) < _FEWEST:
        return ""
    shapes = Counter(_SHAPE.sub("#", subject.lower())[:_SHAPE_LENGTH] for subject in subjects)
    shape, count = min(shapes.items(), key=lambda item: (-item[1], item[0]))
    if not shape or count < _SHARE * len(subjects):
        return ""
    return (
        f"{count} of {len(subjects)} commits are called {shape!r} and the like, and it reviews"
        " nothing: it may be a machine"
    )


def _by_name(who: Identity) -> str:
    if _reads_nothing(who.email):
        return f"nobody reads {who.email}"
    account, email = who.account.lower(), who.email.strip().lower()
    for text in (account, email):
        if text in KNOWN:
            return f"{text} is a well-known program"
    for label in _labels(who):
        if _is_a_machines(label):
            return f"{label} is a name that machines have"
    return ""


def _labels(who: Identity) -> tuple[str, str, str]:
    """Its login, what stands before the @ of its address, its name in Git; in lower case.

    What an account calls itself on its page may be a joke.
    """
    email = who.email.strip().lower()
    local = "" if private_account(email)[1] else email.partition("@")[0]
    return who.account.lower(), local, who.name.lower() if email else ""


def _is_a_machines(label: str) -> bool:
    parts = [_bare(part) for part in _APART.split(label)]
    apart = len(parts) > 1 and label.isascii() and " " not in label
    return (apart and (parts[-1] in _LAST or parts[0] in _FIRST)) or _bare(label) in _WHOLE


def _bare(word: str) -> str:
    return word.rstrip("0123456789")


def _reads_nothing(email: str) -> bool:
    if private_account(email)[1]:
        return False
    local, _, domain = email.lower().partition("@")
    if domain.endswith(".gserviceaccount.com") or domain.startswith("noreply."):
        return True  # Google's, of programs; GitLab's, of projects' bots
    bare = local.replace("-", "").replace("_", "").replace(".", "")
    return bare.startswith(("noreply", "donotreply")) or bare.endswith("noreply")


def _names(who: Identity) -> list[str]:
    texts = (who.login, who.account, who.email.strip(), who.name)
    return [text.lower() for text in dict.fromkeys(texts) if text]


def _shell(pattern: str) -> str:
    """The pattern for `fnmatch`: brackets are no class of characters, renovate[bot] is a name."""
    return pattern.strip().lower().removesuffix("[bot]").replace("[", "[[]")
