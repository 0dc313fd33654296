"""What an environment's own plan is said to cost, held against the plan that Terraform makes."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.embedded_aws import Clients, client, endpoint, reaching
from xops.aws.access import Aws
from xops.aws.target import Target
from xops.ecs.environment import Environment
from xops.ecs.stream1 import copy_source, use_local_backend
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import find_binary, find_mirror
from xops.finops.budget.own_plan import price_own
from xops.finops.budget.shape import Shape
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.bill import Bill
from xops.finops.pricing.plan_pricing import PricedPlan, price_plan
from xops.finops.pricing.planned_state import PlannedState

__all__ = ["client", "endpoint"]

BOOK, ASSUMED = PriceBook.load(FILE), Assumptions.load()
ARN = "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:other-AbCdEf"
ANOTHER: dict[str, Any] = {
    "network.egress": "endpoints",
    "network.zones": 2,
    "services.crew.secrets": {"OPENAI_API_KEY": "openai", "OTHER": ARN},
    "services.open_webui.secrets": {"OPENAI_API_KEY": "openai", "WEBUI_SECRET_KEY": "session"},
    "flow_runs": {"cluster": "xops-runs"},
}


@pytest.fixture(scope="module")
def terraform(endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terraform]:
    """Terraform on stream1, without a state: whatever it plans is new."""
    folder = tmp_path_factory.mktemp("own-plan")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XOPS_HOME", str(folder / "home"))
        stack = copy_source(folder) / "stacks" / "stream1"
        use_local_backend(stack)
        made = Terraform(
            binary=find_binary(os.environ),
            stack=stack,
            work=folder / "work",
            data=folder / "data",
            environ=Aws(Target.EMBEDDED, "ap-southeast-2", reaching(endpoint)).terraform_environ(),
            mirror=find_mirror(os.environ),
        )
        made.init({})
        yield made


def planned(terraform: Terraform, variables: dict[str, Any]) -> PricedPlan:
    """What Terraform's own plan of these variables costs."""
    if variables["github"]:
        variables["github"]["state_bucket"] = "state"
    file: Path = terraform.work / "variables.json"
    file.write_text(json.dumps(variables))
    document = terraform.show(terraform.plan(file))
    return price_plan(PlannedState.of(document), BOOK, ASSUMED, "ap-southeast-2")


def lines(bill: Bill) -> list[tuple[str, str, str, str]]:
    return sorted(
        (line.usage.what_for, line.usage.item, str(line.usage.quantity), str(line.amount))
        for line in bill.lines
    )


@pytest.mark.parametrize(
    ("name", "changed"),
    [("prod", {}), ("test", {}), ("prod", ANOTHER)],
    ids=["prod", "test", "prod with endpoints, secrets and flow runs"],
)
def test_it_is_the_plan_of_terraform_line_by_line(
    terraform: Terraform, client: Clients, name: str, changed: dict[str, Any]
) -> None:
    client("ecs").create_cluster(clusterName="xops-runs")
    # An emulator's DNS starts empty: there the stack makes the zone that AWS has already.
    zone: dict[str, Any] = {"domain.create_zone": True} if name != "test" else {}
    loaded = Environment.load(name, environ={}, **zone, **changed)
    variables = loaded.terraform_variables()

    own = price_own(Shape.of(variables), BOOK, ASSUMED)
    found = planned(terraform, variables)

    for said, real in zip(own.after, found.after, strict=True):
        assert lines(said) == lines(real)
    assert own.unpriced == found.unpriced
    assert own.after[1].total.amount > 50
