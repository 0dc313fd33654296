# What is true on this host now, in sections that begin with @@name. Reads only; on a server
# without K3S it writes a few KiB to time the disk, where nobody but root could have put a link in
# its way. Of files that hold secrets only hashes are told.
# Given: SERVICE DATA BINARY CONFIG WATCHED MODULES SYSCTLS PROBES
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
section() { printf '\n@@%s\n' "$1"; }
section clock; date +%s.%N
section arch; uname -m
# A POSIX shell ends when `.` finds no file.
section os; [ ! -r /etc/os-release ] || . /etc/os-release; printf '%s %s\n' "${ID:-unknown}" "${VERSION_ID:-}"
section init
if [ -d /run/systemd/system ]; then echo systemd
elif command -v rc-service >/dev/null; then echo openrc
else echo unknown; fi
section hostname; cat /proc/sys/kernel/hostname
section machine_id; cat /etc/machine-id 2>/dev/null
section cpus; nproc
section memory; grep -E '^(MemTotal|SwapTotal):' /proc/meminfo
place=$DATA; while [ ! -d "$place" ]; do place=$(dirname "$place"); done
is_root_s() { [ "$1" = 0 ] || [ "$1" = "$(id -u)" ]; }
# The first folder on the way to one that others than root may write to, or replace. In a folder
# with the sticky bit they may only replace what is theirs.
exposed() {
  at=$1 above=
  while :; do
    mode=$(stat -Lc %a "$at")
    is_root_s "$(stat -Lc %u "$at")" || break
    is_root_s "$(stat -c %u "$at")" || break
    [ $((0$mode & 022)) = 0 ] || [ "$above$((0$mode & 01000))" = yes512 ] || break
    [ "$at" != / ] || return 0
    at=$(dirname "$at") above=yes
  done
  printf '%s\n' "$at"
}
# The way that is written down, and the one that links lead to.
shared=$(exposed "$place"; exposed "$(cd -P "$place" && pwd -P)")
section exposed; [ -z "$shared" ] || printf '%s\n' "$shared"
section disk; df -Pk "$place" | tail -n 1
section addresses; ip -o addr show scope global | awk '{print $4}'
section routes; ip route show default; ip -6 route show default
section cgroups
cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null
ls -d /sys/fs/cgroup/memory /sys/fs/cgroup/*,memory* 2>/dev/null
section modules
for module in $MODULES; do
  [ -d "/sys/module/$module" ] || modprobe -n "$module" 2>/dev/null || echo "$module"
done
section iptables; iptables --version 2>/dev/null
section sockets; ss -Hlntu 2>/dev/null | awk '{print $1, $5}'
section sysctls; for key in $SYSCTLS; do printf '%s=%s\n' "$key" "$(cat "/proc/sys/$(echo "$key" | tr . /)" 2>/dev/null)"; done
section version; [ -x "$BINARY" ] && timeout 10 "$BINARY" --version 2>/dev/null | head -n 1
section service
if [ -d /run/systemd/system ]; then
  systemctl show "$SERVICE" -p LoadState -p ActiveState -p UnitFileState -p NRestarts -p ActiveEnterTimestamp
elif [ -e "/etc/init.d/$SERVICE" ]; then
  echo LoadState=loaded
  rc-service "$SERVICE" status >/dev/null 2>&1 && echo ActiveState=active || echo ActiveState=inactive
  rc-update show default 2>/dev/null | grep -q "$SERVICE" && echo UnitFileState=enabled
fi
section files
for file in $WATCHED; do
  [ -f "$file" ] && printf '%s %s %s\n' "$(sha256sum "$file" | cut -c1-64)" "$(stat -c '%a %U:%G %s' "$file")" "$file"
done
section images; for file in "$DATA"/agent/images/*; do [ -f "$file" ] && printf '%s %s\n' "$(stat -c %s "$file")" "$file"; done
section config; [ -f "$CONFIG" ] && head -c 100000 "$CONFIG"
section cluster_id; for file in "$DATA/server/tls/server-ca.crt" "$DATA/agent/server-ca.crt"; do [ -f "$file" ] && sha256sum "$file" | cut -c1-64 && break; done
section etcd; [ -d "$DATA/server/db/etcd/member" ] && echo member
# An answer counts if it was given: kubectl prints an empty list, too, when the API refuses.
answer() {
  [ "$SERVICE" = k3s ] && [ -x "$BINARY" ] && [ -f /etc/rancher/k3s/k3s.yaml ] || return 0
  shown=$(timeout 8 "$BINARY" kubectl "$@" 2>/dev/null) && printf '%s\n' "$shown"
}
section nodes; answer get nodes -o json
# K3S tells etcd's members to whoever asks from this host (pkg/etcd/etcd.go, IsLocalOrHasRole), and
# every host with K3S has its kubectl, which need not know this path: no token and no curl.
section members; answer get --raw /db/info
section fsync
if [ "$PROBES" -gt 0 ] && [ ! -e "$DATA/server/tls" ] && [ -z "$shared" ]; then
  trap 'rm -f "$probe"' EXIT; trap 'exit 143' TERM
  if probe=$(mktemp "$place/.xops-fsync-probe.XXXXXX"); then count=0; else count=$PROBES; fi
  while [ "$count" -lt "$PROBES" ]; do
    dd if=/dev/zero of="$probe" bs=2300 count=1 conv=fsync 2>&1 | grep copied; count=$((count + 1))
  done
fi
section end
