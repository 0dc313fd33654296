"""`terraform fmt -check` over everything, and `terraform validate` for every stack.

`--write` formats instead, and looks no further.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from xops.core import process
from xops.core.errors import XopsError
from xops.ecs import terraform_discovery
from xops.ecs.stream1 import SOURCE, copy_source, use_local_backend
from xops.ecs.terraform import Terraform


def main() -> int:
    """0 when all is well; Terraform's own words otherwise."""
    binary = terraform_discovery.find_binary(os.environ)
    if "--write" in sys.argv[1:]:
        return 0 if _formatted(binary, SOURCE, write=True) else 1
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        source = copy_source(work)
        if not _formatted(binary, SOURCE):
            return 1
        for stack in sorted(path for path in (source / "stacks").iterdir() if path.is_dir()):
            use_local_backend(stack)
            mirror = terraform_discovery.find_mirror(os.environ)
            own = work / f"work-{stack.name}"
            terraform = Terraform(binary, stack, own, own / "data", {}, mirror)
            terraform.init({})
            terraform.validate()
    return 0


def _formatted(binary: terraform_discovery.Binary, folder: Path, *, write: bool = False) -> bool:
    options = [] if write else ["-check", "-diff"]
    command = process.Command(
        [*binary.argv, "fmt", "-recursive", *options],
        cwd=folder,
        env=terraform_discovery.base_environment({}),
        deadline=60,
    )
    finished = process.run(command)
    if finished.returncode != 0:
        sys.stderr.write(f"terraform fmt would change:\n{finished.text}\n")
    return finished.returncode == 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except XopsError as error:
        sys.exit(f"error {error}")
