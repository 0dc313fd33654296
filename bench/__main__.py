"""`make bench`: every suite, or those named: `python -m bench k3s`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from bench import costs, focus, github, k3s, local_stack, looks, plans, stream1, triggers, webhooks
from bench.rows import Row, say, show

SUITES: dict[str, Callable[[], list[Row]]] = {
    "stream1": stream1.measure,
    "stack": local_stack.measure,
    "k3s": k3s.measure,
    "looks": looks.measure,
    "triggers": triggers.measure,
    "github": github.measure,
    "plans": plans.measure,
    "costs": costs.measure,
    "focus": focus.measure,
    "webhooks": webhooks.measure,
}


def main() -> None:
    """Measure the suites one after the other, each printed as soon as it is there."""
    # Images often set it. Each command would compile all that it imports, for two seconds.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for name in sys.argv[1:] or SUITES:
        say(f"suite {name}")
        show(SUITES[name]())


if __name__ == "__main__":
    main()
