# Tries TCP ports of other hosts, all at once. Without bash, with programs that tell a refused
# connection from one that nobody answers. Given: PAIRS (address and port a line) SECONDS_EACH
export LC_ALL=C PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"
has() { command -v "$1" >/dev/null 2>&1; }
# One bash for all of them: a server of a large cluster tries a few hundred. What is open says so;
# of the others bash itself says which it was and why, and those that it waits for are silent.
# shellcheck disable=SC2016
all_with_bash() {
  bash -c '
    exec 9<> <(:)
    while read -r address port; do
      [ -n "$port" ] || continue
      (exec 2>&1 9>&-; : <"/dev/tcp/$address/$port" && echo "$address $port open") &
      tried[$!]="$address $port"
    done
    for ((tick = 0; tick < 50 * $1; tick++)); do
      for each in "${!tried[@]}"; do kill -0 "$each" || unset "tried[$each]"; done 2>/dev/null
      [ "${#tried[@]}" -gt 0 ] || break
      read -rt 0.02 -u 9
    done
    for each in "${!tried[@]}"; do echo "${tried[$each]} silent"; kill "$each"; done 2>/dev/null
  ' peers "$SECONDS_EACH"
}
classify() {
  awk '
    $NF == "open" || $NF == "silent" { answer = $NF; at[1] = $1; at[2] = $2 }
    $NF != "open" && $NF != "silent" {
      if (!match($0, /\/dev\/tcp\/[^ ]*: /)) next
      split(substr($0, RSTART + 9, RLENGTH - 11), at, "/")
      answer = /refused/ ? "refused" : /timed out/ ? "silent" : "unreachable"
    }
    !told[at[1], at[2]]++ { print at[1], at[2], answer }
  '
}
# Not every nc can close at once what it has opened.
scans=; if ! has bash && nc --help 2>&1 | grep -q -e '-[a-yA-Z]*z'; then scans=yes; fi
attempt() {
  if [ -n "$scans" ] && timeout "$SECONDS_EACH" nc -z "$1" "$2" >/dev/null 2>&1; then
    return 0
  elif has wget; then
    case $1 in *:*) url="http://[$1]:$2/" ;; *) url="http://$1:$2/" ;; esac
    timeout "$SECONDS_EACH" wget -O /dev/null "$url" 2>&1
  else
    return 125
  fi
}
look() {
  said=$(attempt "$1" "$2")
  code=$?
  case "$code:$said" in
    0:*) answer=open ;;
    125:*) return ;;
    *refused*) answer=refused ;;
    124:* | 143:* | *"timed out"*) answer=silent ;;
    # Who answers, and be it with an error, has let the connection in.
    *"server returned error"* | *"error getting response"* | *" response "*) answer=open ;;
    *) answer=unreachable ;;
  esac
  printf '%s %s %s\n' "$1" "$2" "$answer"
}
if has bash; then echo "$PAIRS" | all_with_bash | classify; exit; fi
echo "$PAIRS" | {
  while read -r address port; do
    [ -z "$port" ] || look "$address" "$port" &
  done
  wait
}
