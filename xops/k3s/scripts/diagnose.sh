# What a host says about a K3S that does not come up: the lines of the last seconds that tell why,
# then @@last and the last lines. Given: SERVICE BINARY LINES SECONDS_BACK
export LC_ALL=C
if command -v journalctl >/dev/null; then
  shown() { systemctl show "$SERVICE" -p "$1" 2>/dev/null | cut -d= -f2; }
  # Of a service that did not end by itself since it was told to start, what it said before that is
  # about what was mended since. The second form is what systemd says of it.
  run=$(shown InvocationID) ended=$(shown NRestarts)
  journal() { journalctl "$@" --no-pager -o cat; }
  of_run() { journal "_SYSTEMD_INVOCATION_ID=$run" + "INVOCATION_ID=$run" "$@"; }
  recent() {
    if [ -n "$run" ] && [ "$ended" = 0 ]; then of_run -n 200000
    else journal -u "$SERVICE" --since "-${SECONDS_BACK}s" -n 200000; fi
  }
  last() { if [ -n "$run" ]; then of_run -n "$LINES"; else journal -u "$SERVICE" -n "$LINES"; fi; }
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
