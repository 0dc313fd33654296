"""Runs a command as root of a machine that allows no user namespaces, as many containers are.

`python tests/root_without_namespaces.py IDS COMMAND...`: with 65536 ids root may become any user,
with 1 it is the only one there is. Only root can do this.
"""

import os
import sys


def main() -> int:
    ids, *command = sys.argv[1:]
    inside, outside = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.unshare(os.CLONE_NEWUSER)
        os.write(inside[1], b"+")
        os.read(outside[0], 1)
        with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as limit:
            limit.write("0")
        os.execvp(command[0], command)  # noqa: S606 - no shell
    os.read(inside[0], 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{child}/{kind}_map", "w", encoding="ascii") as mapped:
            mapped.write(f"0 0 {ids}")
    os.write(outside[1], b"+")
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
