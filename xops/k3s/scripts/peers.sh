# Tries TCP ports of other hosts, all at once. Without bash, with programs that tell a refused
# connection from one that nobody answers. Given: PAIRS (address and port a line) SECONDS_EACH
export LC_ALL=C PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"
has() { command -v "$1" >/dev/null 2>&1; }
# Not every nc can close at once what it has opened.
scans=; if ! has bash && nc --help 2>&1 | grep -q -e '-[a-yA-Z]*z'; then scans=yes; fi
attempt() {
  if has bash; then
    timeout "$SECONDS_EACH" bash -c ": </dev/tcp/$1/$2" 2>&1
  elif [ -n "$scans" ] && timeout "$SECONDS_EACH" nc -z "$1" "$2" >/dev/null 2>&1; then
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
echo "$PAIRS" | {
  while read -r address port; do
    [ -z "$port" ] || look "$address" "$port" &
  done
  wait
}
