# On a server: waits until these nodes are Ready; says each as it is. Given: BINARY NODES LIMIT
end=$(($(date +%s) + LIMIT))
form='{range .items[*]}{.metadata.name}{range .status.conditions[?(@.type=="Ready")]} {.status}{end}{"\n"}{end}'
left=$NODES
while [ -n "$left" ]; do
  shown=$("$BINARY" kubectl get nodes -o jsonpath="$form" 2>/dev/null)
  waiting=
  for node in $left; do
    if echo "$shown" | grep -qx "$node True"; then
      printf '@@%s\n' "$node"
    else
      waiting="$waiting $node"
    fi
  done
  left=${waiting# }
  [ -z "$left" ] || [ "$(date +%s)" -lt "$end" ] || exit 21
  [ -z "$left" ] || sleep 0.5
done
