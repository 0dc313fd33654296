"""GitHub's REST interface as the GitHub of the tests answers it.

`tests.github_server` answers lists of people and of issues itself.
"""

from tests.github_rest import (  # noqa: F401  # each adds its routes
    apps,
    deployments,
    git,
    hooks,
    people,
    pull_requests,
    reports,
)
from tests.github_rest.apps import installation
from tests.github_rest.routes import Call, answer, not_found, operations

__all__ = ["Call", "answer", "installation", "not_found", "operations"]
