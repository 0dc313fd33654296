# What is true on this host now, in sections that begin with @@name. Reads only; on a server
# without K3S it writes a few KiB to time the disk, where nobody but root could have put a link in
# its way. Of files that hold secrets only hashes are told.
# Given: SERVICE OTHER DATA BINARY CONFIG WATCHED MODULES SYSCTLS PROBES NODE_FORM
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
section() { printf '\n@@%s\n' "$1"; }
has() { command -v "$1" >/dev/null 2>&1; }
# BusyBox with musl has no nanoseconds, and prints something else in their place.
section clock; now=$(date +%s.%N); case $now in *[!0-9.]* | *.) date +%s ;; *) echo "$now" ;; esac
# What is asked with them is unknown without them, and not empty.
section tools
for tool in awk cut date dd df dirname grep head id ip mktemp sha256sum sort stat tail timeout tr uname; do
  has "$tool" || echo "$tool"
done
has bash || has wget || echo "bash or wget"
section arch; uname -m
# A POSIX shell ends when `.` finds no file.
section os; [ ! -r /etc/os-release ] || . /etc/os-release; printf '%s %s\n' "${ID:-unknown}" "${VERSION_ID:-}"
section init
if [ -d /run/systemd/system ]; then echo systemd
elif has rc-service; then echo openrc
else echo unknown; fi
section hostname; cat /proc/sys/kernel/hostname
section machine_id; cat /etc/machine-id 2>/dev/null
section cpus; if has nproc; then nproc; else grep -c '^processor' /proc/cpuinfo; fi
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
section mount; awk -v at="$(df -Pk "$place" | awk 'END { print $6 }')" '$2 == at { found = $4 } END { if (found) print found }' /proc/mounts
section addresses; ip -o addr show scope global 2>/dev/null | awk '{ print $2, $4 }'
section routes
awk 'NR > 1 { print 4, $1, $2, $8, $4 }' /proc/net/route 2>/dev/null | head -n 2000
awk '{ print 6, $10, $1, $2, $9 }' /proc/net/ipv6_route 2>/dev/null | head -n 2000
section cgroups
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then echo v2; cat /sys/fs/cgroup/cgroup.controllers
elif [ -f /proc/cgroups ]; then echo v1; awk '!/^#/ && $2 != 0 && $4 == 1 { print $1 }' /proc/cgroups
fi
section modules
known=/lib/modules/$(uname -r)
for module in $MODULES; do
  [ -d "/sys/module/$module" ] || modprobe -n "$module" 2>/dev/null ||
    cat "$known/modules.builtin" "$known/modules.dep" 2>/dev/null | grep -q "/$module\.ko" || echo "$module"
done
section iptables; iptables --version 2>/dev/null
section sockets
# State 0A listens; of UDP every socket that is bound counts.
for kind in tcp udp; do
  cat "/proc/net/$kind" "/proc/net/${kind}6" 2>/dev/null |
    awk -v kind="$kind" '$1 ~ /^[0-9]+:$/ && (kind == "udp" || $4 == "0A") { n = split($2, at, ":"); print kind, "hex", at[n] }'
done | sort -u
section sysctls; for key in $SYSCTLS; do printf '%s=%s\n' "$key" "$(cat "/proc/sys/$(echo "$key" | tr . /)" 2>/dev/null)"; done
section version; [ -x "$BINARY" ] && timeout 10 "$BINARY" --version 2>/dev/null | head -n 1
service() {
  if [ -d /run/systemd/system ]; then
    systemctl show "$1" -p LoadState -p ActiveState -p UnitFileState -p NRestarts -p ActiveEnterTimestamp
  elif [ -e "/etc/init.d/$1" ]; then
    echo LoadState=loaded
    rc-service "$1" status >/dev/null 2>&1 && echo ActiveState=active || echo ActiveState=inactive
    rc-update show default 2>/dev/null | awk '{ print $1 }' | grep -qx "$1" && echo UnitFileState=enabled
  fi
}
section service; service "$SERVICE"
section other_service; service "$OTHER"
section dropins
for file in "$CONFIG.d"/*.yaml /etc/systemd/system/"$SERVICE".service.d/*.conf /run/systemd/system/"$SERVICE".service.d/*.conf; do
  [ -f "$file" ] && printf '%s\n' "$file"
done
section proxies
for file in "/etc/default/$SERVICE" "/etc/sysconfig/$SERVICE" "/etc/systemd/system/$SERVICE.service.env" "/etc/conf.d/$SERVICE"; do
  [ -f "$file" ] || continue
  for name in HTTP_PROXY HTTPS_PROXY NO_PROXY CONTAINERD_HTTP_PROXY; do
    grep -Eiq "^[[:space:]]*(export[[:space:]]+)?$name=." "$file" && printf '%s in %s\n' "$name" "$file"
  done
done
section selinux
case $(cat /sys/fs/selinux/enforce 2>/dev/null) in 1) echo enforcing ;; 0) echo permissive ;; *) echo disabled ;; esac
# Where K3S's install.sh looks for the policy.
[ -f /usr/share/selinux/packages/k3s.pp ] && echo policy
section files
for file in $WATCHED; do
  [ -f "$file" ] && printf '%s %s %s\n' "$(sha256sum "$file" | cut -c1-64)" "$(stat -c '%a %U:%G %s' "$file")" "$file"
done
section images; for file in "$DATA"/agent/images/*; do [ -f "$file" ] && printf '%s %s\n' "$(stat -c %s "$file")" "$file"; done
section config; [ -f "$CONFIG" ] && head -c 100000 "$CONFIG"
section cluster_id; for file in "$DATA/server/tls/server-ca.crt" "$DATA/agent/server-ca.crt"; do [ -f "$file" ] && sha256sum "$file" | cut -c1-64 && break; done
section etcd; [ -d "$DATA/server/db/etcd/member" ] && echo member
section datastore_file; [ -f "$DATA/server/db/state.db" ] && echo yes
# An answer counts if it was given: kubectl prints an empty list, too, when the API refuses.
answer() {
  [ "$SERVICE" = k3s ] && [ -x "$BINARY" ] && [ -f /etc/rancher/k3s/k3s.yaml ] || return 0
  shown=$(timeout 8 "$BINARY" kubectl "$@" 2>/dev/null) && printf '%s\n' "$shown"
}
section nodes; answer get nodes -o jsonpath="$NODE_FORM"
# K3S tells etcd's members to whoever asks from this host (pkg/etcd/etcd.go, IsLocalOrHasRole), and
# every host with K3S has its kubectl, which need not know this path: no token and no curl.
section members; answer get --raw /db/info
section fsync
if [ "$PROBES" -gt 0 ] && [ ! -e "$DATA/server/tls" ] && [ -z "$shared" ]; then
  trap 'rm -f "$probe"' EXIT; trap 'exit 143' TERM
  if probe=$(mktemp "$place/.xops-fsync-probe.XXXXXX"); then count=0; else count=$PROBES; fi
  # A slow disk shows after a few writes. Each is a command of its own: a signal comes through.
  seconds() { read -r up _ </proc/uptime; echo "${up%.*}"; }
  timed='' until=$(($(seconds) + 15))
  while [ "$count" -lt "$PROBES" ] && [ "$(seconds)" -lt "$until" ]; do
    dd if=/dev/zero of="$probe" bs=2300 count=1 conv=fsync 2>&1 | grep copied && timed=yes
    count=$((count + 1))
  done
  [ -n "$timed" ] || echo untimed
fi
section end
