"""Download the AWS provider once into a mirror: `python scripts/mirror_providers.py FOLDER`.

Every `terraform init` of the tests would download it anew (0.7 GB unpacked). It is checked against
the stack's lock file, and lies unpacked, so that an `init` links to it instead of unpacking it.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from xops.core.errors import XopsError
from xops.ecs import terraform_discovery
from xops.ecs.stream1 import copy_source, use_local_backend
from xops.ecs.terraform import Terraform


def main(folder: Path) -> None:
    """Do nothing where the mirror is there already."""
    if (folder / terraform_discovery.AWS_PROVIDER).is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        work = Path(temporary)
        stack = copy_source(work) / "stacks" / "stream1"
        use_local_backend(stack)
        binary = terraform_discovery.find_binary(os.environ)
        Terraform(binary, stack, work / "work", work / "data", {}).init({})
        registry = terraform_discovery.AWS_PROVIDER.partition("/")[0]
        (work / "data" / "providers" / registry).rename(folder / registry)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except XopsError as error:
        sys.exit(f"error {error}")
