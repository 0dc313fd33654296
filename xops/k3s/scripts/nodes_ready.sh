# On a server: waits until these nodes are Ready; says each as it is.
# Given: BINARY LIMIT NODES (name=since; unless since is empty, the kubelet must have reported after
#        that moment, YYYYMMDDhhmmss in UTC by its host's clock)
end=$(($(date +%s) + LIMIT))
form='{range .items[*]}{.metadata.name}{range .status.conditions[?(@.type=="Ready")]} {.status}{end}{"\n"}{end}'
moments='{range .items[*]}{.metadata.name} {.spec.renewTime}{"\n"}{end}'
reported() {
  moment=$(echo "$leases" | awk -v name="$1" '$1 == name { print $2 }' | tr -cd 0-9 | cut -c1-14)
  [ -z "$2" ] || [ "${moment:-0}" -gt "$2" ]
}
left=$NODES
while [ -n "$left" ]; do
  shown=$("$BINARY" kubectl get nodes -o jsonpath="$form" 2>/dev/null)
  leases=$("$BINARY" kubectl get leases -n kube-node-lease -o jsonpath="$moments" 2>/dev/null)
  waiting=
  for node in $left; do
    name=${node%%=*}
    if echo "$shown" | grep -qx "$name True" && reported "$name" "${node#*=}"; then
      printf '@@%s\n' "$name"
    else
      waiting="$waiting $node"
    fi
  done
  left=${waiting# }
  [ -z "$left" ] || [ "$(date +%s)" -lt "$end" ] || exit 21
  [ -z "$left" ] || sleep 0.5
done
