# On a server: makes the cluster forget a node, its password and etcd members, and sees them go.
# K3S removes the member of a node that is deleted. For a member without a node a node is made that
# names it, and deleted. With two members both must agree to it: what fails is tried again until
# the time is over. Exit 21: something is still there.
# Given: BINARY NODE (or nothing) LIMIT
#        MEMBERS (a line each: the member's id, the name of the node to make, that node in JSON)
export LC_ALL=C
end=$(($(date +%s) + LIMIT))
stub=
kube() { timeout 20 "$BINARY" kubectl "$@"; }
withdraw() {
  [ -n "$stub" ] || return 0
  # Without the label nothing happens to the member when the node goes.
  kube label node "$stub" node-role.kubernetes.io/etcd-
  kube delete node "$stub" --ignore-not-found --wait=false
} >/dev/null 2>&1 </dev/null
in_time() { [ "$(date +%s)" -lt "$end" ] || { withdraw; exit 21; }; sleep 0.5; }
# That the API refuses does not say that there is no node.
node_gone() { found=$(kube get node "$1" --ignore-not-found -o name) && [ -z "$found" ]; }
forget_node() {
  until kube delete node "$1" --ignore-not-found --wait=false >/dev/null; do in_time; done
  until node_gone "$1"; do in_time; done
}
# What a server without quorum tells has no ids: then nothing is known to be gone.
member_gone() {
  ids=$(kube get --raw /db/info | tr '{,}' '\n' | grep '^"ID":') || return 1
  ! echo "$ids" | grep -qx "\"ID\":$1"
}
ask_removal() {
  shown=$(kube get node "$stub" --ignore-not-found -o 'jsonpath={.metadata.name} {.metadata.finalizers}') || return 0
  case $shown in
    # K3S's controller has seen the node: its deletion will wait for the member's.
    *managed-etcd-controller*) kube delete node "$stub" --ignore-not-found --wait=false >/dev/null ;;
    *[a-z]*) ;;
    *) printf '%s' "$1" | kube create --validate=false -f - >/dev/null ;;
  esac
}
if [ -n "$NODE" ]; then
  forget_node "$NODE"
  until kube delete secret "$NODE.node-password.k3s" -n kube-system --ignore-not-found >/dev/null; do in_time; done
fi
while read -r id name node; do
  [ -n "$id" ] || continue
  until member_gone "$id"; do
    stub=$name
    ask_removal "$node" </dev/null
    in_time </dev/null
  done
  [ -z "$stub" ] || forget_node "$stub" </dev/null
  stub=
done <<EOF
$MEMBERS
EOF
