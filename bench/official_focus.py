"""Run the official FOCUS validator on a file: a program of its own, for a Python that has it.

    python bench/official_focus.py FILE

One JSON object on stdout: `seconds` of reading and checking, start-up left out, and by the ids of
its rules what each asks and found. It imports nothing of xOps: that Python has other packages.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from importlib.resources import files
from typing import Any


def main() -> None:
    """Check the file that the first argument names."""
    file = os.path.abspath(sys.argv[1])
    # The validator looks for one of its own files from where its package lies.
    os.chdir(str(files("focus_validator").joinpath("..")))
    logging.disable(logging.CRITICAL)
    with contextlib.redirect_stdout(sys.stderr):
        seconds, found = check(file)
    json.dump({"seconds": seconds, "rules": describe(found)}, sys.stdout)


def check(file: str) -> tuple[float, dict[str, Any]]:
    """The seconds it took and its results by rule."""
    from focus_validator.validator import Validator  # type: ignore[import-not-found]

    validator = Validator(
        data_filename=file,
        output_destination=None,
        output_type="console",
        rules_version="1.2",
        focus_dataset="CostAndUsage",
        rules_block_remote_download=True,
        applicability_criteria="ALL",
    )
    started = time.monotonic()
    validator.load()
    results = validator.spec_rules.validate(focus_data=validator.focus_data)
    return time.monotonic() - started, results.by_rule_id


def describe(found: dict[str, Any]) -> dict[str, Any]:
    """What each rule asks, by its model, and what it found."""
    (model,) = files("focus_validator.rules").glob("model-1.2.*.json")  # type: ignore[attr-defined]
    rules = json.loads(model.read_text())["ModelRules"]
    return {
        name: {
            "ok": one["ok"],
            "skipped": bool(one["details"].get("skipped")),
            "violations": one["details"].get("violations"),
            "kind": rules[name]["Type"],
            "function": rules[name]["Function"],
            "asks": rules[name]["ValidationCriteria"]["Requirement"],
            "where": rules[name]["ValidationCriteria"]["Condition"],
            "keyword": rules[name]["ValidationCriteria"]["Keyword"],
        }
        for name, one in found.items()
        if name in rules
    }


if __name__ == "__main__":
    main()
