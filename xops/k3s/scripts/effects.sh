# On any host: asks addresses of the cluster from here, until each has answered or LIMIT is over;
# says of each how it answered last, in the words of peers.sh, or `unknown` where no program of this
# host can ask. On a server also @@version, what its API says of itself.
# Given: BINARY (empty on an agent) PAIRS (address and port a line) SECONDS_EACH LIMIT
#        LOOK (the text of peers.sh, which asks once)
export LC_ALL=C PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin"
end=$(($(date +%s) + LIMIT))
echo @@version
version=
tries=3  # an API server that is just asked by many, or restarts, may answer the next time
while [ -n "$BINARY" ] && [ -z "$version" ] && [ "$tries" -gt 0 ]; do
  version=$(timeout 10 "$BINARY" kubectl get --raw /version </dev/null 2>/dev/null | head -c 4000)
  tries=$((tries - 1))
  [ -n "$version" ] || sleep 1
done
printf '%s' "$version"
printf '\n@@answers\n'
while [ -n "$PAIRS" ]; do
  now=$(date +%s)
  said=$(eval "$LOOK")
  left=
  while read -r address port; do
    [ -n "$port" ] || continue
    answer=$(printf '%s\n' "$said" | awk -v address="$address" -v port="$port" '
      $1 == address && $2 == port { print $3; exit }')
    if [ "${answer:-open}" = open ] || [ "$now" -ge "$end" ]; then
      printf '%s %s %s\n' "$address" "$port" "${answer:-unknown}"
    else
      left="$left$address $port
"
    fi
  done <<END
$PAIRS
END
  PAIRS=$left
  [ -z "$PAIRS" ] || sleep 1
done
echo @@end
