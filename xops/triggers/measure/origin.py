"""What facts were measured from: what outlasts names, and hashes of the rules of counting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xops.triggers.facts import MeasuredRepository, Origin
from xops.triggers.measure.classification import Classifier
from xops.triggers.measure.mandates import mandates_digest
from xops.triggers.measure.team import machines_digest, people_digest
from xops.triggers.policy import GitHub, Policy


def origin_of(
    policy: Policy, github: GitHub, ids: Mapping[str, str], selections: Sequence[str]
) -> Origin:
    """The origin of a policy's facts.

    Args:
        policy: the rules of counting.
        github: what of GitHub is named.
        ids: by owner/name in lower case, as the policy says it, GitHub's id, where one is known.
        selections: as `scope.described` says them.
    """
    return Origin(
        api_url=github.api_url.rstrip("/"),
        repositories=tuple(
            MeasuredRepository(asked=name.lower(), id=ids.get(name.lower(), ""))
            for name in sorted(github.repositories, key=str.lower)
        ),
        selections=tuple(sorted(selections)),
        branches=tuple(sorted(github.branches)),
        classification=Classifier(github.kinds, github.exclude).digest,
        machines=machines_digest(policy),
        people=people_digest(policy),
        mandates=mandates_digest(policy.mandates),
    )
