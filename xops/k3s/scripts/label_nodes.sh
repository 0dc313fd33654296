# On a server: gives nodes labels and taints, and takes away what they shall not have any more.
# What is so already stays so. Exit 1: the API refused some of it, and all else was done, unless it
# did not answer: then nothing more was tried.
# Given: BINARY
#        CHANGES (a line each: the verb, the nodes with commas between, words. `label`: key=value,
#        or `key-` which is taken away. `taint`: key=value:Effect. `untaint`: one key:Effect)
export LC_ALL=C
set -f
failed=
form='{range .items[*]}{.metadata.name}{range .spec.taints[*]} {.key}:{.effect}{end}{"\n"}{end}'
kube() { timeout 60 "$BINARY" kubectl "$@" </dev/null; }
# One that its time has ended (124, of BusyBox 143): the API hangs, and so would all that follow.
note_failure() {
  failed=yes
  [ "$1" -lt 124 ] || exit 1
}
# kubectl fails about a taint that is not there: who has it of these nodes.
tainted() {
  shown=$(kube get nodes -o jsonpath="$form") || return
  printf '%s\n' "$shown" | awk -v nodes=",$1," -v taint="$2" '
    index(nodes, "," $1 ",") { for (n = 2; n <= NF; n++) if ($n == taint) { print $1; break } }'
}
while read -r verb nodes words; do
  [ -n "$verb" ] || continue
  if [ "$verb" = untaint ]; then
    nodes=$(tainted "$nodes" "$words") || { note_failure $?; continue; }
    [ -n "$nodes" ] || continue
    verb=taint words="$words-"
  else
    nodes=$(printf '%s' "$nodes" | tr , ' ')
  fi
  # Neither names nor words hold spaces, and no pattern is expanded.
  set --
  for word in $nodes $words; do set -- "$@" "$word"; done
  kube "$verb" --overwrite nodes "$@" >/dev/null || note_failure $?
done <<END
$CHANGES
END
[ -z "$failed" ] || exit 1
