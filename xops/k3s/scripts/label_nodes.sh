# On a server: gives nodes labels and taints, and takes away what they shall not have any more.
# What is so already stays so. Exit 1: the API refused some of it; all else was done.
# Given: BINARY
#        CHANGES (a line each: the verb, the nodes with commas between, words. `label`: key=value,
#        or `key-` which is taken away. `taint`: key=value:Effect. `untaint`: one key:Effect)
export LC_ALL=C
set -f
failed=
form='{range .items[*]}{.metadata.name}{range .spec.taints[*]} {.key}:{.effect}{end}{"\n"}{end}'
kube() { timeout 60 "$BINARY" kubectl "$@" </dev/null; }
# kubectl fails about a taint that is not there: who has it of these nodes.
tainted() {
  shown=$(kube get nodes -o jsonpath="$form") || return 1
  printf '%s\n' "$shown" | awk -v nodes=",$1," -v taint="$2" '
    index(nodes, "," $1 ",") { for (n = 2; n <= NF; n++) if ($n == taint) { print $1; break } }'
}
while read -r verb nodes words; do
  [ -n "$verb" ] || continue
  if [ "$verb" = untaint ]; then
    nodes=$(tainted "$nodes" "$words") || { failed=yes; continue; }
    [ -n "$nodes" ] || continue
    verb=taint words="$words-"
  else
    nodes=$(printf '%s' "$nodes" | tr , ' ')
  fi
  # Neither names nor words hold spaces, and no pattern is expanded.
  set --
  for word in $nodes $words; do set -- "$@" "$word"; done
  kube "$verb" --overwrite nodes "$@" >/dev/null || failed=yes
done <<END
$CHANGES
END
[ -z "$failed" ] || exit 1
