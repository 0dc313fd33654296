package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// checkNodeLabels refuses what the kubelet refuses: a node may not give itself a role.
func checkNodeLabels(labels []string) error {
	for _, label := range labels {
		key, _, _ := strings.Cut(label, "=")
		domain, _, qualified := strings.Cut(key, "/")
		if !qualified {
			continue
		}
		reserved := domain == "kubernetes.io" || strings.HasSuffix(domain, ".kubernetes.io") ||
			domain == "k8s.io" || strings.HasSuffix(domain, ".k8s.io")
		allowed := strings.HasSuffix(domain, "node.kubernetes.io") || strings.HasSuffix(domain, "kubelet.kubernetes.io") ||
			strings.HasPrefix(key, "topology.kubernetes.io/")
		if reserved && !allowed {
			return fmt.Errorf("unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels: [%s]", key)
		}
	}
	return nil
}

// parseTaints reads key=value:Effect and key:Effect.
func parseTaints(texts []string) ([]corev1.Taint, error) {
	taints := []corev1.Taint{}
	for _, text := range texts {
		pair, effect, separated := strings.Cut(text, ":")
		switch corev1.TaintEffect(effect) {
		case corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute:
		default:
			return nil, fmt.Errorf("invalid taint effect: %q, unsupported taint effect in %s", effect, text)
		}
		key, value, _ := strings.Cut(pair, "=")
		if !separated || key == "" {
			return nil, fmt.Errorf("invalid taint spec: %s", text)
		}
		taints = append(taints, corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)})
	}
	return taints, nil
}

// register creates the Node or takes over the one that is there.
func (n *Node) register(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	found, err := n.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		found, err = n.create(ctx)
	} else if err == nil {
		err = n.relabel(ctx, found)
	}
	if err != nil {
		return err
	}
	if err := n.reportStatus(ctx, found); err != nil {
		return err
	}
	return n.renewLease(ctx)
}

func (n *Node) defaultLabels() map[string]string {
	return map[string]string{
		"beta.kubernetes.io/arch":          runtime.GOARCH,
		"beta.kubernetes.io/os":            "linux",
		"beta.kubernetes.io/instance-type": "k3s",
		"kubernetes.io/arch":               runtime.GOARCH,
		"kubernetes.io/os":                 "linux",
		"kubernetes.io/hostname":           n.name,
		"node.kubernetes.io/instance-type": "k3s",
	}
}

func (n *Node) create(ctx context.Context) (*corev1.Node, error) {
	labels := n.defaultLabels()
	for _, label := range n.options.List("node-label") {
		key, value, _ := strings.Cut(label, "=")
		labels[key] = value
	}
	taints, err := parseTaints(n.options.List("node-taint"))
	if err != nil {
		return nil, err
	}
	node := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: n.name, Labels: labels, Annotations: n.annotations()},
		Spec:       corev1.NodeSpec{Taints: taints, ProviderID: "k3s://" + n.name},
	}
	n.fillStatus(&node.Status, nil)
	return n.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
}

func (n *Node) annotations() map[string]string {
	arguments, err := json.Marshal(os.Args[1:])
	if err != nil {
		arguments = []byte("[]")
	}
	return map[string]string{
		"k3s.io/hostname":    n.name,
		"k3s.io/internal-ip": n.ip,
		"k3s.io/node-args":   redactToken(string(arguments)),
	}
}

// redactToken keeps secrets of the command line out of the Node, as K3S does.
func redactToken(arguments string) string {
	if strings.Contains(arguments, "token") {
		return `["********"]`
	}
	return arguments
}

func (n *Node) relabel(ctx context.Context, found *corev1.Node) error {
	changed := map[string]string{}
	for key, value := range n.defaultLabels() {
		if found.Labels[key] != value {
			changed[key] = value
		}
	}
	if len(changed) == 0 && found.Annotations["k3s.io/internal-ip"] == n.ip {
		return nil
	}
	patch := map[string]any{"metadata": map[string]any{"labels": changed, "annotations": n.annotations()}}
	content, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = n.client.CoreV1().Nodes().Patch(ctx, n.name, types.StrategicMergePatchType, content, metav1.PatchOptions{})
	return err
}

// beat renews the lease and corrects the status when somebody else called the node unknown.
func (n *Node) beat(ctx context.Context) {
	reported := time.Now()
	for pause(ctx, heartbeat) == nil {
		within, cancel := context.WithTimeout(ctx, heartbeat)
		if err := n.renewLease(within); err != nil {
			n.balancer.avoid(err)
			warningf("Failed to update lease of node %s: %v", n.name, err)
		}
		found, err := n.client.CoreV1().Nodes().Get(within, n.name, metav1.GetOptions{ResourceVersion: "0"})
		switch {
		case apierrors.IsNotFound(err):
			// The kubelet registers at its start only: a deleted node stays away until a restart.
			warningf("Error getting node %s: not found", n.name)
		case err != nil:
			warningf("Error getting node %s: %v", n.name, err)
		case time.Since(reported) > statusInterval || !n.statusIsCurrent(found):
			n.addresses.setRange(found.Spec.PodCIDR)
			if err := n.reportStatus(within, found); err != nil {
				warningf("Error updating node status: %v", err)
			} else {
				reported = time.Now()
			}
		default:
			n.addresses.setRange(found.Spec.PodCIDR)
		}
		cancel()
	}
}

func (n *Node) statusIsCurrent(found *corev1.Node) bool {
	for _, condition := range found.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue && found.Status.NodeInfo.KubeletVersion == version
		}
	}
	return false
}

func (n *Node) renewLease(ctx context.Context) error {
	leases := n.client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
	now, seconds := metav1.NowMicro(), int32(leaseDuration.Seconds())
	lease, err := leases.Get(ctx, n.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = leases.Create(ctx, &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: n.name},
			Spec:       coordinationv1.LeaseSpec{HolderIdentity: &n.name, LeaseDurationSeconds: &seconds, RenewTime: &now},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil {
		return err
	}
	lease.Spec.RenewTime, lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds = &now, &n.name, &seconds
	_, err = leases.Update(ctx, lease, metav1.UpdateOptions{})
	return err
}

func (n *Node) reportStatus(ctx context.Context, found *corev1.Node) error {
	status := corev1.NodeStatus{}
	n.fillStatus(&status, found)
	content, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	_, err = n.client.CoreV1().Nodes().Patch(ctx, n.name, types.StrategicMergePatchType, content, metav1.PatchOptions{}, "status")
	return err
}

func (n *Node) fillStatus(status *corev1.NodeStatus, found *corev1.Node) {
	resources := corev1.ResourceList{
		corev1.ResourceCPU:              *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
		corev1.ResourceMemory:           *resource.NewQuantity(memoryBytes(), resource.BinarySI),
		corev1.ResourceEphemeralStorage: *resource.NewQuantity(diskBytes(n.paths.data), resource.BinarySI),
		corev1.ResourcePods:             *resource.NewQuantity(110, resource.DecimalSI),
	}
	status.Capacity, status.Allocatable = resources, resources
	status.Addresses = []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: n.ip}, {Type: corev1.NodeHostName, Address: n.name},
	}
	for _, address := range n.options.List("node-external-ip") {
		status.Addresses = append(status.Addresses, corev1.NodeAddress{Type: corev1.NodeExternalIP, Address: address})
	}
	status.NodeInfo = n.systemInfo()
	status.DaemonEndpoints.KubeletEndpoint.Port = 10250
	status.Conditions = nodeConditions(found)
	status.Images = n.images.report()
}

func (n *Node) systemInfo() corev1.NodeSystemInfo {
	return corev1.NodeSystemInfo{
		MachineID:               firstLine("/etc/machine-id"),
		SystemUUID:              firstLine("/etc/machine-id"),
		BootID:                  firstLine("/proc/sys/kernel/random/boot_id"),
		KernelVersion:           firstLine("/proc/sys/kernel/osrelease"),
		OSImage:                 osImage(),
		ContainerRuntimeVersion: "containerd://2.1.4-k3s1",
		KubeletVersion:          version,
		OperatingSystem:         "linux",
		Architecture:            runtime.GOARCH,
	}
}

func nodeConditions(found *corev1.Node) []corev1.NodeCondition {
	now := metav1.Now()
	conditions := []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory",
			Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure",
			Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID",
			Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady",
			Message: "kubelet is posting ready status"},
	}
	for index := range conditions {
		conditions[index].LastHeartbeatTime = now
		conditions[index].LastTransitionTime = transition(found, conditions[index], now)
	}
	return conditions
}

func transition(found *corev1.Node, condition corev1.NodeCondition, now metav1.Time) metav1.Time {
	if found == nil {
		return now
	}
	for _, earlier := range found.Status.Conditions {
		if earlier.Type == condition.Type && earlier.Status == condition.Status {
			return earlier.LastTransitionTime
		}
	}
	return now
}

func firstLine(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return line
}

func osImage() string {
	file, err := os.Open("/etc/os-release")
	if err != nil {
		return "unknown"
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); found {
			return strings.Trim(name, `"`)
		}
	}
	return "unknown"
}

func memoryBytes() int64 {
	fields := strings.Fields(firstLine("/proc/meminfo"))
	if len(fields) < 2 {
		return 0
	}
	kilobytes, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return kilobytes * 1024
}

func diskBytes(path string) int64 {
	stat := syscall.Statfs_t{}
	if err := syscall.Statfs(path, &stat); err != nil {
		return 0
	}
	return int64(stat.Blocks) * stat.Bsize
}
