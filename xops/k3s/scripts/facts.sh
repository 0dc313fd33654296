# What is true on this host now, in sections that begin with @@name. Reads only; on a server
# without K3S it writes a few KiB to time the disk, where nobody but root could have put a link in
# its way. Of files that hold secrets only hashes are told.
# Given: SERVICE OTHER DATA BINARY CONFIG WATCHED MODULES SYSCTLS PROBES NODE_FORM
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
section() { printf '\n@@%s\n' "$1"; }
# In one piece: each that is written is a packet for sshd and for who reads it.
tell() { printf '\n@@%s\n%s\n' "$1" "$2"; }
has() { command -v "$1" >/dev/null 2>&1; }
# The first line of a file, if it can be read, without a process for it.
line() { found=; if [ -r "$1" ]; then read -r found <"$1" || :; fi; }
end='
'
# BusyBox with musl has no nanoseconds, and prints something else in their place.
now=$(date +%s.%N); case $now in *[!0-9.]* | *.) now=$(date +%s) ;; esac
tell clock "$now"
look() {
# What is asked with them is unknown without them, and not empty.
section tools
for tool in awk cat cut date dd df grep head id ip mktemp sha256sum stat tail timeout tr uname; do
  has "$tool" || echo "$tool"
done
has bash || has wget || echo "bash or wget"
tell arch "$(uname -m)"
# A POSIX shell ends when `.` finds no file.
[ ! -r /etc/os-release ] || . /etc/os-release; tell os "${ID:-unknown} ${VERSION_ID:-}"
if [ -d /run/systemd/system ]; then tell init systemd
elif has rc-service; then tell init openrc
else tell init unknown; fi
line /proc/sys/kernel/hostname; tell hostname "$found"
line /etc/machine-id; tell machine_id "$found"
tell cpus "$(if has nproc; then nproc; else grep -c '^processor' /proc/cpuinfo; fi)"
tell memory "$(grep -E '^(MemTotal|SwapTotal):' /proc/meminfo)"
section exposed; [ -z "$shared" ] || printf '%s\n' "$shared"
section disk; free=$(df -Pk "$place"); printf '%s\n' "${free##*"$end"}"
tell mount "$(awk -v at="${free##* }" '$2 == at { found = $4 } END { if (found) print found }' /proc/mounts)"
tell addresses "$(ip -o addr show scope global 2>/dev/null | awk '{ print $2, $4 }')"
set --
for file in /proc/net/route /proc/net/ipv6_route; do [ ! -r "$file" ] || set -- "$@" "$file"; done
section routes
[ $# = 0 ] || awk '
  FILENAME ~ /ipv6/ { if (++six <= 2000) print 6, $10, $1, $2, $9; next }
  FNR > 1 && ++four <= 2000 { print 4, $1, $2, $8, $4 }
' "$@"
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  line /sys/fs/cgroup/cgroup.controllers; tell cgroups "v2$end$found"
elif [ -f /proc/cgroups ]; then
  tell cgroups "v1$end$(awk '!/^#/ && $2 != 0 && $4 == 1 { print $1 }' /proc/cgroups)"
else section cgroups
fi
section modules
line /proc/sys/kernel/osrelease; known=/lib/modules/$found
for module in $MODULES; do
  [ -d "/sys/module/$module" ] || modprobe -n "$module" 2>/dev/null ||
    cat "$known/modules.builtin" "$known/modules.dep" 2>/dev/null | grep -q "/$module\.ko" || echo "$module"
done
section iptables; iptables --version 2>/dev/null
set --
for file in /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6; do [ ! -r "$file" ] || set -- "$@" "$file"; done
section sockets
# State 0A listens; of UDP every socket that is bound counts.
[ $# = 0 ] || awk '
  FNR == 1 { kind = FILENAME ~ /udp/ ? "udp" : "tcp" }
  $1 ~ /^[0-9]+:$/ && (kind == "udp" || $4 == "0A") {
    n = split($2, at, ":")
    if (!seen[kind, at[n]]++) print kind, "hex", at[n]
  }
' "$@"
section sysctls
set --
for key in $SYSCTLS; do
  file=$key
  while case $file in *.*) true ;; *) false ;; esac; do file=${file%%.*}/${file#*.}; done
  if [ -r "/proc/sys/$file" ]; then set -- "$@" "/proc/sys/$file"; else printf '%s=\n' "$key"; fi
done
# Not by a shell's `read`: it asks for one character at a time, and the kernel gives of a number the first.
[ $# -eq 0 ] || awk 'FNR == 1 { key = substr(FILENAME, 11); gsub("/", ".", key); print key "=" $0 }' "$@"
section version; [ ! -x "$BINARY" ] || { said=$(timeout 10 "$BINARY" --version 2>/dev/null); printf '%s\n' "${said%%"$end"*}"; }
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
line /sys/fs/selinux/enforce
case $found in 1) echo enforcing ;; 0) echo permissive ;; *) echo disabled ;; esac
# Where K3S's install.sh looks for the policy.
[ -f /usr/share/selinux/packages/k3s.pp ] && echo policy
section files
set --
for file in $WATCHED; do [ ! -f "$file" ] || set -- "$@" "$file"; done
# A file that goes away in between is in one of the two lists, and is not told.
[ $# = 0 ] || { hashes "$@"; stat -c '%a %U:%G %s %n' "$@"; } | awk '
  length($1) == 64 { sum[substr($0, 67)] = $1; next }
  { name = $0; sub(/^[^ ]+ [^ ]+ [^ ]+ /, "", name); if (name in sum) print sum[name], $0 }
'
section images
set --
for file in "$DATA"/agent/images/*; do [ ! -f "$file" ] || set -- "$@" "$file"; done
[ $# = 0 ] || stat -c '%s %n' "$@"
section config; [ -f "$CONFIG" ] && head -c 100000 "$CONFIG"
section cluster_id
for file in "$DATA/server/tls/server-ca.crt" "$DATA/agent/server-ca.crt"; do
  [ -f "$file" ] && sum=$(sha256sum <"$file") && printf '%s\n' "${sum%% *}" && break
done
section etcd; [ -d "$DATA/server/db/etcd/member" ] && echo member
section datastore_file; [ -f "$DATA/server/db/state.db" ] && echo yes
}
# K3S's binary has a hundred megabytes: where the processor can do it, OpenSSL is four times as fast.
hashes() { { has openssl && openssl dgst -sha256 -r "$@" 2>/dev/null; } || sha256sum "$@"; }
service() {
  if [ -d /run/systemd/system ]; then
    systemctl show "$1" -p LoadState -p ActiveState -p UnitFileState -p NRestarts -p ActiveEnterTimestamp
  elif [ -e "/etc/init.d/$1" ]; then
    echo LoadState=loaded
    rc-service "$1" status >/dev/null 2>&1 && echo ActiveState=active || echo ActiveState=inactive
    rc-update show default 2>/dev/null | awk '{ print $1 }' | grep -qx "$1" && echo UnitFileState=enabled
  fi
}
place=$DATA; while [ ! -d "$place" ]; do place=${place%/*}; place=${place:-/}; done
is_root_s() { [ "$1" = 0 ] || [ "$1" = "$(id -u)" ]; }
# The first folder on the way to one that others than root may write to, or replace. In a folder
# with the sticky bit they may only replace what is theirs.
exposed() {
  at=$1; set --
  while :; do set -- "$@" "$at"; [ "$at" != / ] || break; at=${at%/*}; at=${at:-/}; done
  # Owner and mode of each folder, and the owner of each that may be a link to it.
  if ! folders=$(stat -Lc '%u:%a' "$@") || ! links=$(stat -c %u "$@"); then printf '%s\n' "$1"; return; fi
  above=
  for folder in $folders; do
    owner=${links%%"$end"*} links=${links#*"$end"} mode=0${folder#*:}
    is_root_s "${folder%:*}" || break
    is_root_s "$owner" || break
    [ $((mode & 022)) = 0 ] || [ "$above$((mode & 01000))" = yes512 ] || break
    shift
    [ $# -gt 0 ] || return 0
    above=yes
  done
  printf '%s\n' "$1"
}
# The way that is written down, and the one that links lead to.
real=$(cd -P "$place" && pwd -P)
shared=$(exposed "$place"; [ "$real" = "$place" ] || exposed "$real")
# An answer counts if it was given: kubectl prints an empty list, too, when the API refuses.
answer() {
  [ "$SERVICE" = k3s ] && [ -x "$BINARY" ] && [ -f /etc/rancher/k3s/k3s.yaml ] || return 0
  shown=$(timeout 8 "$BINARY" kubectl "$@" 2>/dev/null) && printf '%s\n' "$shown"
}
# K3S tells etcd's members to whoever asks from this host (pkg/etcd/etcd.go, IsLocalOrHasRole), and
# every host with K3S has its kubectl, which need not know this path: no token and no curl. It takes
# long to start: both are asked while all else is looked at.
answer get nodes -o jsonpath="$NODE_FORM" | {
  answer get --raw /db/info | { look </dev/null; section members; cat; }
  section nodes; cat
}
section fsync
if [ "$PROBES" -gt 0 ] && [ ! -e "$DATA/server/tls" ] && [ -z "$shared" ]; then
  trap 'rm -f "$probe"' EXIT; trap 'exit 143' TERM
  if probe=$(mktemp "$place/.xops-fsync-probe.XXXXXX"); then count=0; else count=$PROBES; fi
  # A slow disk shows after a few writes. Each is a command of its own: a signal comes through.
  read -r up _ </proc/uptime; until=$((${up%.*} + 15))
  timed=$(
    while [ "$count" -lt "$PROBES" ] && read -r up _ </proc/uptime && [ "${up%.*}" -lt "$until" ]; do
      dd if=/dev/zero of="$probe" bs=2300 count=1 conv=fsync 2>&1
      count=$((count + 1))
    done | grep copied
  )
  printf '%s\n' "${timed:-untimed}"
fi
section end
