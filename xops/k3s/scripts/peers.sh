# Tries TCP ports of other hosts, all at once. Given: PAIRS (address and port a line) SECONDS_EACH
export LC_ALL=C
look() {
  if command -v bash >/dev/null; then
    said=$(timeout "$SECONDS_EACH" bash -c ": </dev/tcp/$1/$2" 2>&1)
  else
    said=$(timeout "$SECONDS_EACH" nc -z "$1" "$2" 2>&1)
  fi
  code=$?
  case "$code:$said" in
    0:*) answer=open ;;
    *refused*) answer=refused ;;
    124:* | 143:*) answer=silent ;;
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
