# What a host says about a K3S that does not come up. Given: SERVICE BINARY LINES
export LC_ALL=C
if command -v journalctl >/dev/null; then
  journalctl -u "$SERVICE" -n "$LINES" --no-pager -o cat
else
  tail -n "$LINES" "/var/log/$SERVICE.log"
fi 2>/dev/null
if [ "$SERVICE" = k3s ]; then
  timeout 5 "$BINARY" kubectl get events -A --field-selector type=Warning --no-headers 2>/dev/null |
    tail -n 20
fi
df -Pk / | tail -n 1
