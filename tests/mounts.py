"""Small file systems, to fill up."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_file_system(folder: Path, size: str) -> Iterator[None]:
    """`folder` is a file system of that size (`256k`) within the block; skips where none can be."""
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    owner = f"uid={os.getuid()},gid={os.getgid()},mode=0700"
    mount = [*sudo, "mount", "-t", "tmpfs", "-o", f"size={size},{owner}", "tmpfs", str(folder)]
    if not shutil.which(mount[0]) or subprocess.run(mount, check=False, timeout=30).returncode:
        pytest.skip("mounting a small file system needs root, or sudo without a password")
    try:
        yield
    finally:
        subprocess.run([*sudo, "umount", "--lazy", str(folder)], check=True, timeout=30)
