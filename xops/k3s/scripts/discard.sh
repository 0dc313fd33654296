# Moves the etcd data of a member that was removed aside, as K3S does itself when it sees it happen.
# Given: ETCD
[ ! -d "$ETCD" ] || mv "$ETCD" "$ETCD-removed-$(date +%s)"
