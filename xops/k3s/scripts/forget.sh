# On a server: makes the cluster forget a node, its etcd member and its password.
# Given: BINARY NODE LIMIT
set -e
end=$(($(date +%s) + LIMIT))
"$BINARY" kubectl delete node "$NODE" --ignore-not-found --wait=true --timeout="${LIMIT}s" >/dev/null
"$BINARY" kubectl delete secret "$NODE.node-password.k3s" -n kube-system --ignore-not-found >/dev/null
while "$BINARY" kubectl get node "$NODE" >/dev/null 2>&1; do
  [ "$(date +%s)" -lt "$end" ] || exit 21
  sleep 0.5
done
