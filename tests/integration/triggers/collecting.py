"""A week on the GitHub of the tests, and the policy by which it is counted."""

from collections.abc import Callable
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from xops.triggers.facts import Facts, week_bounds

SYDNEY = ZoneInfo("Australia/Sydney")
WEEK = date(2026, 11, 16)
AS_OF = date(2026, 11, 23)
START, END = week_bounds(WEEK, SYDNEY)
MIDWEEK = START + timedelta(days=2)
NAME = "octo/web"

POLICY = """
apiVersion: xops/v1
timezone: {zone}
components: {{k3s: {{title: K3S}}}}
triggers:
  iac_prs:
    metric: iac_prs
    enter: {{above: 5}}
    leave: {{at_or_below: 3}}
    action: {{summary: Atlantis, components: [k3s]}}
    classification: Service Addition
    owner: platform
    review_by: 2027-01-01
github:
  api_url: {url}
  repositories: {repositories}
  weeks: {weeks}
  credential: {{variable: XOPS_GITHUB_TOKEN}}
{more}
"""

Collect = Callable[..., Facts]
