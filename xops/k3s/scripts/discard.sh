# Moves the etcd data of a member that was removed aside, as K3S does itself when it sees it happen.
# Given: ETCD
[ -d "$ETCD" ] || exit 0
aside=$ETCD-removed-$(date +%s)
# mv would move it into what is there.
if [ -e "$aside" ] || [ -L "$aside" ]; then echo "$aside is there already" >&2; exit 1; fi
mv "$ETCD" "$aside"
