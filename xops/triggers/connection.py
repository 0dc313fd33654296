"""GitHub as a policy names it: the client with its credential, and where answers are kept."""

from __future__ import annotations

from pathlib import Path

from xops.core.errors import Finding, InputError
from xops.core.files import settings
from xops.github import credential
from xops.github.access import Access
from xops.github.client import Client
from xops.triggers.policy import GitHub, Policy


def cache() -> Path:
    """Where what was read from GitHub is kept; it can be deleted at any time."""
    return settings.home() / "cache" / "github"


def access(github: GitHub) -> Access:
    """The policy's address and credential, as the client takes them."""
    return credential.access(github.api_url, github.credential)


def connect(policy: Policy, folder: Path | None = None) -> Client:
    """A client with the policy's credential.

    Args:
        policy: with a `github` section.
        folder: where answers are kept; `cache()` by default.

    Raises:
        InputError: there is no such section.
        PermanentError: there is no credential where it says, or others may read it.
        AccessError, NotVisibleError: the App is not installed on the first repository, nor by the
            first owner of a selection.
    """
    github = github_section(policy)
    kept = (folder or cache()) / "etags"
    return Client(access(github), folder=kept, installed_on=_installed_on(github))


def _installed_on(github: GitHub) -> str:
    """A repository (owner/name) or an owner by which an App's installation is found."""
    return (*github.repositories, *(one.organisation for one in github.select))[0]


def github_section(policy: Policy) -> GitHub:
    """What the policy says of GitHub.

    Raises:
        InputError: nothing.
    """
    if policy.github is None:
        finding = Finding("deployments/triggers.yaml", "github", "names no repository to read")
        raise InputError("reading facts from GitHub", [finding], "Add it, or give a facts file.")
    return policy.github
