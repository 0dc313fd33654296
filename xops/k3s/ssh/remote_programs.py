"""What runs at the far end of an SSH channel: three programs in POSIX sh, and what they are told.

They need coreutils and util-linux's `setsid` and `flock`, or BusyBox. Each first prints `BEGIN` on
both streams: what a login's start files print comes before it, and where it never comes the
program was not started (sudo refused, the login has no shell).
"""

from __future__ import annotations

import shlex

from xops.core.errors import PermanentError
from xops.k3s.ssh.transport_protocol import AuthenticationError, SudoError, shorten

BEGIN = "xops-begin"
"""The line that a program prints first, on stdout and stderr."""

ROOT = "root"

BEAT_SECONDS = 15.0
"""How often the holder of a lock says that it is alive."""

LOCK_GRACE_SECONDS = 90
"""How long a lock outlives a holder that fell silent. The kernel frees the lock of a holder that
died; one whose machine lost its power or its network would keep it for hours (sshd's TCP
keepalive)."""

RUN_GRACE_SECONDS = 10
"""How long after its deadline a script is ended by the host itself, should nobody ask for it."""

_LONGEST = 120_000  # Linux refuses a single argument of 128 KiB (MAX_ARG_STRLEN)

# sudo's secure_path has no /usr/local/bin on RHEL, where K3S puts its binary. Messages are parsed,
# so they are in one language.
_START = """\
echo xops-begin; echo xops-begin >&2
umask 022
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""

RUN = (
    _START
    + """\
# $1 seconds, $2 script. The first line of standard input is the script's own, in base64; the end
# of standard input means that the other side has gone, and then the script goes too.
cd /
exec 3<&0
given=$(head -n 1 <&3)
printf %s "$given" | base64 -d | setsid sh -c "$2" 3<&- &
script=$!
{
  timeout "$1" cat <&3
  trap '' TERM
  kill -TERM "-$script"; sleep 5; kill -KILL "-$script"
} >/dev/null 2>&1 &
watch=$!
exec 3<&-
wait "$script"; code=$?
kill "$watch" 2>/dev/null
exit "$code"
"""
)
"""Runs a script in a session of its own; ends as it ends."""

PUT = (
    _START
    + """\
path=$1 size=$2 sum=$3 mode=$4 owner=$5 partial=$6
dir=${path%/*}; dir=${dir:-/}
plain() { [ -f "$1" ] && [ ! -L "$1" ]; }
same() { [ "$(stat -c %s "$1")" = "$size" ] && [ "$(sha256sum <"$1")" = "$sum  -" ]; }
owned() { [ "$(stat -c "%a $2" "$1")" = "$mode $owner" ]; }
settle() { chown "$owner" "$1" && chmod "$mode" "$1"; }
free() { df -Pk "$dir" | { read -r _; read -r _ _ _ free _; echo "$((free * 1024))"; }; }
full() { rm -f "$partial"; echo "full $(free)"; exit; }
if [ -d "$path" ] && [ ! -L "$path" ]; then echo "failed it is a directory"; exit; fi
if plain "$path" && same "$path"; then
  if owned "$path" %U:%G || owned "$path" %u:%g; then echo have; exit; fi
  settle "$path" && echo done
  exit
fi
mkdir -p "$dir" || exit
# A partial file that somebody else has put there is not written to, nor through: no other name.
if ! plain "$partial" || [ "$(stat -c '%u %h' "$partial")" != "$(id -u) 1" ]; then
  rm -f "$partial"; (umask 077; set -C; : >"$partial") || exit
fi
offset=$(stat -c %s "$partial")
[ "$offset" -le "$size" ] || { : >"$partial"; offset=0; }
[ "$(free)" -ge "$((size - offset))" ] || full
echo "need $offset"
error=$(cat 2>&1 >>"$partial") || case $error in
  *"No space left"*|*"quota exceeded"*) full ;;
  *) echo "failed $error"; exit ;;
esac
[ "$(stat -c %s "$partial")" -ge "$size" ] || { echo short; exit; }
same "$partial" || { rm -f "$partial"; echo differs; exit; }
settle "$partial" || { rm -f "$partial"; exit; }
sync "$partial" 2>/dev/null || sync
# mv would move into a folder that a link at the destination leads to.
if [ -L "$path" ] && [ -d "$path" ]; then rm -f "$path"; fi
mv -f "$partial" "$path" || exit
sync "$dir" 2>/dev/null || sync
rm -f "$dir/.${path##*/}".????????????.partial
echo done
"""
)
"""Receives a file. Answers, a line each: `have` (nothing to do), `need OFFSET` (send the rest),
`done`, `full FREE_BYTES`, `differs` (from its SHA-256), `short`, `failed WHY`."""

LOCK_MOMENT = "%Y-%m-%dT%H:%M:%SZ"
"""How a lock tells since when it is held."""

LOCK = (
    _START
    + """\
path=$1 holder=$2 grace=$3
umask 077
mkdir -p "${path%/*}" && exec 9>>"$path" || exit
flock -n 9
case $? in
  0) ;;
  1) echo taken; cat "$path.holder"; exit ;;
  *) exit 1 ;;
esac
printf '%s\\n%s\\n' "$(date -u +MOMENT)" "$holder" >"$path.holder" || exit
echo held
while timeout "$grace" head -n 1 9>&- | grep -q . 9>&-; do :; done
rm -f "$path.holder"
""".replace("MOMENT", LOCK_MOMENT)
)
"""Holds a lock while lines come in. Answers `held`, or `taken`, since when and by whom."""


def command(login: str, program: str, *arguments: str) -> str:
    """What to hand to the login's shell so that a program above runs as root.

    Raises:
        ValueError: it is too long for the host's kernel; large input goes through stdin.
    """
    become = [] if login == ROOT else ["env", "LC_ALL=C", "sudo", "-n", "--"]
    words = shlex.join([*become, "sh", "-c", program, "xops", *arguments])
    if len(words.encode()) > _LONGEST:
        raise ValueError("a script this long cannot be started: give its data as stdin")
    return words


def partial(path: str, sha256: str) -> str:
    """Where an upload is kept until it is whole: beside its destination, named by its content."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}.{sha256[:12]}.partial"


def title(script: str) -> str:
    """What a script is called in messages: its first comment, or else its first line."""
    lines = [line.strip() for line in script.splitlines() if line.strip()]
    comments = [line.lstrip("# ") for line in lines if line.startswith("#") and line[1:2] != "!"]
    return next(iter([*comments, *lines]), "an empty script")[:80]


def refusal(login: str, host: str, attempted: str, said: str) -> PermanentError:
    """Why a program never began, from what was printed in its place."""
    found = f"it was not started: {shorten(said.strip()) or 'nothing was said why'}"
    if login == ROOT or "sudo" not in said:
        return AuthenticationError(
            attempted,
            found,
            f"The login {login} must be able to run commands. Set user, of the host or below ssh,"
            " to one that is (a cloud's images name theirs: ubuntu, admin, ec2-user).",
        )
    return SudoError(attempted, found, _sudo_remedy(login, host, said))


def _sudo_remedy(login: str, host: str, said: str) -> str:
    if "not found" in said or "No such file" in said:
        return f"Install sudo on {host}, or log in as root: set user, of the host or below ssh."
    # Source: sudoers(5), requiretty and NOPASSWD.
    rule = f"Defaults:{login} !requiretty" if "tty" in said else f"{login} ALL=(ALL) NOPASSWD: ALL"
    file = "/etc/sudoers.d/xops"
    return f"As root on {host}: echo '{rule}' > {file} && chmod 0440 {file} && visudo -c"
