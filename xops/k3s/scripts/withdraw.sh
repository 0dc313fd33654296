# On a server whose API answers: deletes what files of ours in K3S's manifests folder made, then the
# files. K3S applies a file that comes or changes, again at each of its starts, and does nothing when
# it goes (pkg/deploy/controller.go). What is gone already is no failure: it may be run again after it
# was cut short, and is run on each server that has the file, since each applies its own.
# Exit 1: the API did not delete all of one; that file and those after it are as they were.
# Given: BINARY MANIFESTS (paths, a line each; one that is not there has been withdrawn)
export LC_ALL=C
kube() { timeout 90 "$BINARY" kubectl "$@" </dev/null; }
printf '%s\n' "$MANIFESTS" | while read -r path; do
  [ -n "$path" ] && [ -f "$path" ] || continue
  kube delete --ignore-not-found --timeout=60s -f "$path" >/dev/null || exit 1
  # K3S notes the hash of what it applied: the same file, should it come back, would be skipped.
  known=$(kube get crd addons.k3s.cattle.io --ignore-not-found -o name) || exit 1
  name=${path##*/}
  if [ -n "$known" ]; then
    kube delete addons.k3s.cattle.io -n kube-system "${name%%.*}" --ignore-not-found --timeout=60s >/dev/null || exit 1
  fi
  rm -f "$path" || exit 1
done
