# Stops K3S on a host; it would start again at a boot. Given: SERVICE
if [ -d /run/systemd/system ]; then
  systemctl stop "$SERVICE"
else
  rc-service --quiet "$SERVICE" stop
fi
