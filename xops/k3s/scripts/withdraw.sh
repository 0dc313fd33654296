# On a server, before files of ours in K3S's manifests folder are removed: deletes what they made.
# K3S applies a file that comes or changes, and does nothing when it goes (pkg/deploy/controller.go).
# What is gone already is no failure, so that it may be run again, and on each server that has the
# file. Exit 1: the API did not delete all of one; nothing of the files is touched.
# Given: BINARY MANIFESTS (paths, a line each; one that is not there has been withdrawn)
export LC_ALL=C
kube() { timeout 90 "$BINARY" kubectl "$@" </dev/null; }
printf '%s\n' "$MANIFESTS" | while read -r path; do
  [ -n "$path" ] && [ -f "$path" ] || continue
  kube delete --ignore-not-found --timeout=60s -f "$path" >/dev/null || exit 1
  # K3S notes the hash of what it applied: the same file, should it come back, would be skipped.
  name=${path##*/}
  known=$(kube get crd addons.k3s.cattle.io --ignore-not-found -o name) || exit 1
  [ -n "$known" ] || continue
  kube delete addons.k3s.cattle.io -n kube-system "${name%%.*}" --ignore-not-found --timeout=60s >/dev/null || exit 1
done
