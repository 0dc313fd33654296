"""What an approval binds and shows, at the size of a large stack. Each should take under 1 s.

digest      of a plan of 5,000 changes; baseline: json.dumps and sha256 of the same values
show        all lines of it for a terminal, and the Markdown of its artifact; baseline: json.dumps
cover       what is left of it held against what was approved; baseline: json.dumps, twice
hash        500 MB in files, as of a bundle; baseline: sha256sum
price       a plan of Terraform's with 500 resources, before and after; baseline: json.loads of it
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.rows import ROUNDS, Row, measured
from xops.core.files.bounded_json import parse_json
from xops.core.files.tree import hash_tree
from xops.core.plan.coverage import find_uncovered
from xops.core.plan.model import Action, Change, Plan
from xops.core.plan.view import markdown, terminal_lines
from xops.finops.prices.book import FILE, PriceBook
from xops.finops.pricing.assumptions import Assumptions
from xops.finops.pricing.plan_pricing import price_plan
from xops.finops.pricing.planned_state import PlannedState

CHANGES = 5_000
RESOURCES = 500
FILES, MEGABYTES = 100, 500


def measure() -> list[Row]:
    """The rows."""
    return [*of_plans(), hashing(), pricing()]


def of_plans() -> list[Row]:
    """One plan, made anew for each measurement: a digest is computed once."""
    changes = tuple(map(_change, range(CHANGES)))
    values = [change.model_dump(mode="json") for change in changes]
    left = tuple(change.model_copy(update={"reason": "another"}) for change in changes[1:])

    def plan(of: tuple[Change, ...] = changes) -> Plan:
        return Plan(subject="ecs/prod", target="aws", changes=of)

    made = plan()

    def dumped() -> str:
        return json.dumps(values, sort_keys=True)

    return [
        _compared(
            "digest", "json.dumps, sha256",
            lambda: plan().digest, lambda: hashlib.sha256(dumped().encode()).hexdigest(),
        ),
        _compared("show in a terminal", "json.dumps", lambda: list(terminal_lines(made)), dumped),
        _compared("show as an artifact", "json.dumps", lambda: markdown(made), dumped),
        _compared(
            "cover what is left", "json.dumps, twice",
            lambda: find_uncovered(plan(), plan(left), lambda *_: False),
            lambda: (dumped(), dumped()),
        ),
    ]  # fmt: skip


def _compared(
    name: str, baseline: str, ours: Callable[[], object], theirs: Callable[[], object]
) -> Row:
    row = Row(f"{name}, {CHANGES} changes (under 1 s)", baseline)
    return measured(row, lambda: of_processor(ours), lambda: of_processor(theirs), ROUNDS)


def of_processor(work: Callable[[], object]) -> float:
    """Seconds of the processor: other work on the machine does not count."""
    started = time.process_time()
    work()
    return time.process_time() - started


def of_clock(work: Callable[[], object]) -> float:
    """Seconds of the clock: ours works on several processors, as long as it is waited for."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def _change(number: int) -> Change:
    """A service whose image and environment change, a third of them made or removed."""
    definition = [
        {
            "name": f"app-{number}",
            "image": "acme/crew:1.0",
            "environment": [{"name": f"KEY_{n}", "value": f"value {n}"} for n in range(8)],
        }
    ]
    before: dict[str, Any] = {
        "arn": f"arn:aws:ecs:ap-southeast-2:123456789012:service/prod/app-{number}",
        "tags": {f"tag-{n}": "some value" for n in range(6)},
        "subnets": [f"subnet-{n:017x}" for n in range(3)],
        "container_definitions": json.dumps(definition),
    }
    definition[0]["image"] = "acme/crew:1.1"
    after = {**before, "container_definitions": json.dumps(definition), "desired_count": 2}
    action = (Action.CREATE, Action.UPDATE, Action.DELETE)[number % 3]
    return Change(
        action=action,
        target=f"module.ecs.aws_ecs_service.app[{number}]",
        before=None if action is Action.CREATE else before,
        after=None if action is Action.DELETE else after,
    )


def hashing() -> Row:
    """Files of a folder on the disk, which have been read before."""
    row = Row(f"hash {MEGABYTES} MB in {FILES} files (under 1 s)", "sha256sum", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        block = os.urandom(MEGABYTES * 1_000_000 // FILES)
        for number in range(FILES):
            (folder / f"{number}.tar").write_bytes(number.to_bytes(4) + block)
        files = [str(file) for file in sorted(folder.iterdir())]

        def sums() -> object:
            return subprocess.run(["sha256sum", *files], capture_output=True, check=True)  # noqa: S607

        return measured(
            row, lambda: of_clock(lambda: hash_tree(folder)), lambda: of_clock(sums), ROUNDS
        )


def pricing() -> Row:
    """From the text of the plan to its bills, with the price book as it is on the disk."""
    text = json.dumps(_terraform_plan())
    assumptions = Assumptions.load()

    def price() -> object:
        state = PlannedState.of(parse_json(text))
        return price_plan(state, PriceBook.load(FILE), assumptions, "ap-southeast-2")

    row = Row(f"price {RESOURCES} resources, before and after (under 1 s)", "json.loads")
    return measured(
        row, lambda: of_processor(price), lambda: of_processor(lambda: json.loads(text)), ROUNDS
    )


def _terraform_plan() -> dict[str, Any]:
    """A fifth each of services, their tasks, their scaling, load balancers and machines."""
    rows: list[tuple[str, dict[str, Any]]] = []
    for number in range(RESOURCES // 5):
        arn = f"arn:aws:ecs:ap-southeast-2:123456789012:task-definition/app-{number}:1"
        platform = [{"cpu_architecture": "ARM64"}]
        task = {"arn": arn, "cpu": "1024", "memory": "2048", "runtime_platform": platform}
        target = {"resource_id": f"service/c/app-{number}", "min_capacity": 2, "max_capacity": 5}
        disk = {"volume_type": "gp3", "volume_size": 30}
        rows += [
            ("aws_ecs_task_definition", task),
            ("aws_ecs_service", {"name": f"app-{number}", "task_definition": arn}),
            ("aws_appautoscaling_target", target),
            ("aws_lb", {"load_balancer_type": "application"}),
            ("aws_instance", {"instance_type": "t4g.medium", "root_block_device": [disk]}),
        ]
    resources = [
        {"address": f"{kind}.it[{place}]", "mode": "managed", "type": kind, "values": values}
        for place, (kind, values) in enumerate(rows)
    ]
    values = {"root_module": {"resources": resources}}
    return {"format_version": "1.2", "planned_values": values, "prior_state": {"values": values}}
