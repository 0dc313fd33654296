# What a host says about a K3S that does not come up: the lines of the last seconds that tell why,
# then @@last and the last lines. Given: SERVICE BINARY LINES SECONDS_BACK
export LC_ALL=C
if command -v journalctl >/dev/null; then
  recent() { journalctl -u "$SERVICE" --since "-${SECONDS_BACK}s" -n 200000 --no-pager -o cat; }
  last() { journalctl -u "$SERVICE" -n "$LINES" --no-pager -o cat; }
else
  recent() { tail -n 20000 "/var/log/$SERVICE.log"; }
  last() { tail -n "$LINES" "/var/log/$SERVICE.log"; }
fi 2>/dev/null
# A start prints 400 lines, a stop that hangs 100,000: by content, and what ended K3S comes last.
ends='Shutdown request received|level=fatal'
telling=$(recent 2>/dev/null | grep -E "$ends|^[EF][0-9]{4} " | tail -n 2000)
echo "$telling" | grep -Ev "$ends" | tail -n "$LINES"
echo "$telling" | grep -E "$ends" | tail -n 20
echo @@last
last 2>/dev/null
if [ "$SERVICE" = k3s ]; then
  timeout 5 "$BINARY" kubectl get events -A --field-selector type=Warning --no-headers 2>/dev/null |
    tail -n 20
fi
df -Pk / | tail -n 1
