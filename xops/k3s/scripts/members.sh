# On a server: etcd's members and the nodes, as a cluster with a quorum tells them.
# Exit 21: there was no such answer in time. Given: BINARY LIMIT NODE_FORM
export LC_ALL=C
end=$(($(date +%s) + LIMIT))
ask() { timeout 10 "$BINARY" kubectl "$@" </dev/null; }
while :; do
  if members=$(ask get --raw /db/info) && nodes=$(ask get nodes -o jsonpath="$NODE_FORM"); then
    # A server whose etcd has no quorum may name itself alone, and then without an id.
    case $members in
      *'"ID":'*) printf '@@members\n%s\n@@nodes\n%s\n' "$members" "$nodes"; exit 0 ;;
      *) echo "its etcd has no quorum" >&2 ;;
    esac
  fi
  [ "$(date +%s)" -lt "$end" ] || exit 21
  sleep 1
done
