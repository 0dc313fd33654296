# Puts the staged binary in place and starts or restarts K3S, without waiting for it.
# Given: SERVICE BINARY STAGED SYSCTL REMOVED (paths, a line each) VERB (start, restart or keep)
#        UNREAD (the note that K3S has something to read)
set -e
echo "$REMOVED" | while read -r path; do [ -z "$path" ] || rm -f "$path"; done
if [ -n "$STAGED" ]; then
  # A rename: the running process keeps the old file, and nobody ever sees half of the new one.
  mv -f "$STAGED" "$BINARY"
  chmod 755 "$BINARY"
fi
if [ -f "$SYSCTL" ]; then sysctl -q -p "$SYSCTL"; fi
if [ "$VERB" = keep ]; then exit 0; fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl enable --quiet "$SERVICE"
  systemctl reset-failed --quiet "$SERVICE" 2>/dev/null || true
  systemctl --no-block "$VERB" "$SERVICE"
else
  rc-update add "$SERVICE" default >/dev/null
  rc-service --quiet "$SERVICE" "$VERB"
fi
rm -f "$UNREAD"
