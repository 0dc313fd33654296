# On a server: what the cluster's API says of CoreDNS, of kube-vip and of flannel's addresses. Waits
# until all of it is as it shall be, until a pod has been in trouble for PATIENCE seconds, or until
# LIMIT is over, and then says how it is: @@dns and @@vip rows of POD_FORM, @@tunnels a node each.
# Exit 21: the API did not answer in time.
# Given: BINARY LIMIT PATIENCE POD_FORM
#        DNS (yes, or empty: nobody asks) VIP (nodes that shall run kube-vip)
#        TUNNELS (nodes that flannel shall have an address for)
export LC_ALL=C
end=$(($(date +%s) + LIMIT))
since=
trouble='"reason":"(CrashLoopBackOff|ImagePullBackOff|ErrImagePull|ErrImageNeverPull|InvalidImageName|CreateContainerConfigError|CreateContainerError|RunContainerError|Unschedulable)"'
addresses='{range .items[*]}{.metadata.name}{"\t"}{.metadata.annotations.flannel\.alpha\.coreos\.com/public-ip}{"\n"}{end}'
kube() { timeout 10 "$BINARY" kubectl "$@" </dev/null; }
of_system() { kube get "$1" -n kube-system -l "$2" -o jsonpath="$POD_FORM"; }
look() {
  dns='' vip='' tunnels=''
  if [ -n "$DNS" ]; then dns=$(of_system deployments,pods k8s-app=kube-dns) || return; fi
  if [ -n "$VIP" ]; then vip=$(of_system pods app.kubernetes.io/name=kube-vip) || return; fi
  if [ -n "$TUNNELS" ]; then tunnels=$(kube get nodes -o jsonpath="$addresses") || return; fi
}
# As `kubectl rollout status` has it: none of an earlier form is left, and all are available.
rolled_out() {
  [ -z "$DNS" ] || printf '%s\n' "$dns" | awk -F '\t' '
    $1 == "Deployment" && $2 == "coredns" { 
      found = $7 + 0 == 0 || ($5 + 0 <= $6 + 0 && $7 + 0 <= $9 + 0 && $7 + 0 == $8 + 0 && $7 + 0 <= $10 + 0)
    }
    END { exit !found }'
}
carried() {
  for node in $VIP; do
    printf '%s\n' "$vip" | awk -F '\t' -v node="$node" '
      $1 == "Pod" && $3 == node && $11 == "True" { found = 1 } END { exit !found }' || return
  done
}
addressed() {
  for node in $TUNNELS; do
    printf '%s\n' "$tunnels" | awk -F '\t' -v node="$node" '
      $1 == node && $2 != "" { found = 1 } END { exit !found }' || return
  done
}
in_trouble() {
  printf '%s\n%s\n' "$dns" "$vip" | grep -Eq "$trouble" || return
  since=${since:-$(date +%s)}
  [ $(($(date +%s) - since)) -ge "$PATIENCE" ]
}
while :; do
  now=$(date +%s)
  if look; then
    if [ "$now" -ge "$end" ] || { rolled_out && carried && addressed; } || in_trouble; then break; fi
  elif [ "$now" -ge "$end" ]; then exit 21; fi
  sleep 1
done
printf '@@dns\n%s\n@@vip\n%s\n@@tunnels\n%s\n@@end\n' "$dns" "$vip" "$tunnels"
