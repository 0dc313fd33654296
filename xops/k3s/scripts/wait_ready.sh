# Waits until K3S on this host is up; says each step as it is reached: @@active, @@readyz, @@node.
# An agent says by its own clock, in UTC, since when K3S's process runs: @@at=YYYYMMDDhhmmss.
# Exit 20: the service gives up again and again; 21: the time is over; the last @@ says how far.
# Given: SERVICE BINARY NODE ROLE MEMBERS LIMIT DATA
end=$(($(date +%s) + LIMIT))
say() { printf '@@%s\n' "$1"; }
in_time() { [ "$(date +%s)" -lt "$end" ] || exit 21; sleep 0.5; }
starts() { systemctl show "$SERVICE" -p NRestarts 2>/dev/null | cut -d= -f2; }
active() {
  if [ -d /run/systemd/system ]; then
    [ "$(systemctl is-active "$SERVICE")" = active ]
  else
    rc-service "$SERVICE" status >/dev/null 2>&1
  fi
}
patient() {
  now=$(starts)
  [ $((${now:-0} - ${first:-0})) -lt 4 ] || exit 20
  in_time
}
first=$(starts)
until active; do patient; done
# Since when its process runs; where the init system does not tell which it is, since now.
main=$(systemctl show "$SERVICE" -p MainPID 2>/dev/null | cut -d= -f2)
began=$(stat -c %Y "/proc/${main:-0}" 2>/dev/null) || began=$(date +%s)
at=$(date -u -d "@$began" +%Y%m%d%H%M%S)
say active
[ "$ROLE" = server ] || { say "at=$at"; exit 0; }
until [ "$("$BINARY" kubectl get --raw /readyz 2>/dev/null)" = ok ]; do patient; done
say readyz
# A node counts as Ready for most of a minute after its kubelet has ended: it must have reported.
reported() {
  moment=$("$BINARY" kubectl get lease -n kube-node-lease "$NODE" -o jsonpath='{.spec.renewTime}' 2>/dev/null)
  moment=$(echo "$moment" | tr -cd 0-9 | cut -c1-14)
  [ "${moment:-0}" -gt "$at" ]
}
ready() {
  reported || return 1
  shown=$("$BINARY" kubectl get nodes -o jsonpath="$FORM" 2>/dev/null) || return 1
  echo "$shown" | grep "^$NODE " | grep " Ready=True" | grep -q " EtcdIsVoter=True" || return 1
  echo "$shown" | grep "^$NODE " | grep -q "node-role.kubernetes.io/control-plane" || return 1
  [ "$(echo "$shown" | grep -c " EtcdIsVoter=True")" -ge "$MEMBERS" ]
}
FORM='{range .items[*]}{.metadata.name}{range .status.conditions[*]} {.type}={.status}{end} {.metadata.labels}{"\n"}{end}'
until ready; do patient; done
say node
printf '@@cluster=%s\n' "$(sha256sum "$DATA/server/tls/server-ca.crt" | cut -c1-64)"
