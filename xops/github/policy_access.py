"""GitHub as the policy of deliveries names it: address and credential, as the client takes them."""

from __future__ import annotations

from xops.github.access import Access, App
from xops.github.credential import AppCredential
from xops.github.policy import GitHubPolicy


def access(policy: GitHubPolicy) -> Access:
    """The policy's address and credential."""
    credential = policy.credential
    app = None
    if isinstance(credential, AppCredential):
        app = App(credential.app_id, credential.installation_id)
    return Access(api_url=policy.api_url, credential=credential, app=app)
