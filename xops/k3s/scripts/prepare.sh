# Makes the folders that K3S's files go to, with their modes. Given: DATA FOLDER ROLE
umask 077
mkdir -p "$FOLDER" "$DATA/agent/images"
chmod 755 "$FOLDER"
if [ "$ROLE" = server ]; then
  # K3S's hardening guide: the audit log's folder must be there before the API server starts.
  mkdir -p "$DATA/server/manifests" "$DATA/server/logs"
  chmod 700 "$DATA/server" "$DATA/server/manifests" "$DATA/server/logs"
fi
