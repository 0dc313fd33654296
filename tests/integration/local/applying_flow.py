"""A flow whose run applies a small stack with a real Terraform and notes each signal it gets.

`folder` holds the state; the slow resource lasts until `release` exists there. What Terraform was
sent is in `signals`, a line for each; where `stubborn` exists it does not end of an interrupt.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from prefect import flow

from xops.core.files import settings
from xops.ecs import run_folder
from xops.ecs.run_folder import RunFolder
from xops.ecs.terraform import Terraform
from xops.ecs.terraform_discovery import Binary

STACK = """
terraform {
  backend "local" { path = "FOLDER/terraform.tfstate" }
}
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" {
    working_dir = "FOLDER"
    command     = "touch waiting; for n in $(seq 900); do [ -e release ] || sleep 0.1; done"
  }
}
resource "terraform_data" "last" { depends_on = [terraform_data.slow] }
"""

# Stands where Terraform does: it leads the session, hears what Terraform would, and hands it on.
TERRAFORM = """#!/bin/sh
heard() {
  [ "$command" = apply ] && echo "$1" >> FOLDER/signals
  [ "$1" = INT ] && [ -e FOLDER/stubborn ] || kill -"$1" "$child"
}
command=$1
trap 'heard INT' INT
trap 'heard TERM' TERM
trap 'heard HUP' HUP
terraform "$@" &
child=$!
while :; do
  wait "$child"; code=$?
  kill -0 "$child" 2>/dev/null || exit "$code"
done
"""


@flow(name="applying", flow_run_name="applying")
def applying(folder: str) -> None:
    """Plan and apply, as `xops.ecs.stream1` does."""
    place = Path(folder)
    (place / "terraform").write_text(TERRAFORM.replace("FOLDER", folder))
    (place / "terraform").chmod(0o700)
    with RunFolder.create(settings.home() / "runs" / "local") as run:
        facts = {"target": "embedded", "state": str(place / "terraform.tfstate")}
        (run.path / run_folder.FACTS).write_text(json.dumps(facts))
        stack = run.path / "stack"
        stack.mkdir()
        (stack / "main.tf").write_text(STACK.replace("FOLDER", folder))
        (stack / "variables.json").write_text("{}")
        binary = Binary((str(place / "terraform"),), "", "the test")
        environ = {"PATH": f"{Path(shutil.which('terraform') or os.devnull).parent}:{os.defpath}"}
        terraform = Terraform(binary, stack, run.path, run.path / "data", environ)
        terraform.init({})
        terraform.apply(terraform.plan(stack / "variables.json"))
