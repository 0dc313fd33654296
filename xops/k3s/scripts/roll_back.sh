# Rolls a host that never became Ready back to before it joined; staged images and binary stay.
# Given: SERVICE DATA FOLDER UNIT UNREAD
if [ -d /run/systemd/system ]; then
  systemctl disable --quiet --now "$SERVICE" 2>/dev/null
  systemctl reset-failed --quiet "$SERVICE" 2>/dev/null
else
  rc-service --quiet "$SERVICE" stop
  rc-update del "$SERVICE" default >/dev/null 2>&1
fi
rm -f "$UNIT" "$FOLDER/config.yaml" "$FOLDER/token" "$FOLDER/agent-token" "$FOLDER/k3s.yaml" "$UNREAD"
rm -rf "$DATA/server" /etc/rancher/node
find "$DATA/agent" -mindepth 1 -maxdepth 1 ! -name images -exec rm -rf {} + 2>/dev/null
[ ! -d /run/systemd/system ] || systemctl daemon-reload
exit 0
