package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// podAddresses gives out the addresses of the node's pod range.
type podAddresses struct {
	mutex   sync.Mutex
	network *net.IPNet
	used    map[string]string // address -> UID of its pod
}

func (p *podAddresses) setRange(cidr string) {
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.network = network
}

func (p *podAddresses) keep(address string, owner types.UID) {
	if address == "" {
		return
	}
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.used[address] = string(owner)
}

func (p *podAddresses) free(owner types.UID) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	for address, holder := range p.used {
		if holder == string(owner) {
			delete(p.used, address)
		}
	}
}

// take gives a free address, or "" while the node has no range yet.
func (p *podAddresses) take(owner types.UID) string {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.network == nil || p.network.IP.To4() == nil {
		return ""
	}
	base := new(big.Int).SetBytes(p.network.IP.To4())
	for offset := int64(2); offset < 255; offset++ {
		address := make(net.IP, 4)
		new(big.Int).Add(base, big.NewInt(offset)).FillBytes(address)
		if _, taken := p.used[address.String()]; !taken {
			p.used[address.String()] = string(owner)
			return address.String()
		}
	}
	return ""
}

// runPods plays the kubelet for the pods bound to this node.
func (n *Node) runPods(ctx context.Context) {
	factory := informers.NewSharedInformerFactoryWithOptions(n.client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector("spec.nodeName", n.name).String()
	}))
	informer := factory.Core().V1().Pods().Informer()
	work := make(chan types.NamespacedName, 4096)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { enqueue(work, object) },
		UpdateFunc: func(_, object any) { enqueue(work, object) },
		DeleteFunc: func(object any) {
			if pod, isPod := object.(*corev1.Pod); isPod {
				n.addresses.free(pod.UID)
			}
		},
	})
	if err != nil {
		errorf("pods cannot be watched: %v", err)
		return
	}
	factory.Start(ctx.Done())
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-work:
			n.handle(ctx, informer.GetStore(), key, work)
		case <-n.images.changed:
			for _, object := range informer.GetStore().List() {
				enqueue(work, object)
			}
		}
	}
}

func enqueue(work chan<- types.NamespacedName, object any) {
	if pod, isPod := object.(*corev1.Pod); isPod {
		work <- types.NamespacedName{Namespace: pod.Namespace, Name: pod.Name}
	}
}

func (n *Node) handle(ctx context.Context, store cache.Store, key types.NamespacedName, work chan<- types.NamespacedName) {
	object, present, err := store.GetByKey(key.String())
	if err != nil || !present {
		return
	}
	pod, isPod := object.(*corev1.Pod)
	if !isPod {
		return
	}
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := n.settle(within, pod); err != nil && !apierrors.IsNotFound(err) {
		warningf("pod %s: %v", key, err)
		time.AfterFunc(time.Second, func() { work <- key })
	}
}

// settle brings one pod a step further.
func (n *Node) settle(ctx context.Context, pod *corev1.Pod) error {
	if pod.DeletionTimestamp != nil {
		n.addresses.free(pod.UID)
		now := int64(0)
		return n.client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(pod.UID)),
		})
	}
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		n.addresses.free(pod.UID)
		return nil
	}
	n.addresses.keep(pod.Status.PodIP, pod.UID)
	status := n.podStatus(pod)
	if status == nil {
		return nil
	}
	content, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return err
	}
	_, err = n.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, content,
		metav1.PatchOptions{}, "status")
	return err
}

// podStatus is what the pod's status should become, or nil when it is that already.
func (n *Node) podStatus(pod *corev1.Pod) *corev1.PodStatus {
	missing := n.missingImages(pod)
	if len(missing) > 0 {
		return pendingStatus(pod, missing)
	}
	if pod.Status.Phase == corev1.PodRunning && allReady(pod) && !runsToEnd(pod) {
		return nil
	}
	status := &corev1.PodStatus{Phase: corev1.PodRunning, HostIP: n.ip, HostIPs: []corev1.HostIP{{IP: n.ip}}}
	if status.PodIP = pod.Status.PodIP; status.PodIP == "" {
		status.PodIP = n.addressFor(pod)
	}
	if status.PodIP == "" {
		time.Sleep(100 * time.Millisecond) // the range comes with the next heartbeat
		n.refreshRange()
		status.PodIP = n.addressFor(pod)
	}
	status.PodIPs = []corev1.PodIP{{IP: status.PodIP}}
	started := metav1.Now()
	if pod.Status.StartTime != nil {
		started = *pod.Status.StartTime
	}
	status.StartTime = &started
	ended := runsToEnd(pod)
	if ended {
		status.Phase = corev1.PodSucceeded
	}
	status.Conditions = podConditions(pod, !ended, nil)
	status.InitContainerStatuses = containerStatuses(pod.Spec.InitContainers, pod, true)
	status.ContainerStatuses = containerStatuses(pod.Spec.Containers, pod, ended)
	return status
}

func (n *Node) addressFor(pod *corev1.Pod) string {
	if pod.Spec.HostNetwork {
		return n.ip
	}
	return n.addresses.take(pod.UID)
}

func (n *Node) refreshRange() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if found, err := n.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{}); err == nil {
		n.addresses.setRange(found.Spec.PodCIDR)
	}
}

// runsToEnd tells pods whose command would end from those that serve: here a pod that is not always
// restarted ends well at once.
func runsToEnd(pod *corev1.Pod) bool {
	return pod.Spec.RestartPolicy != "" && pod.Spec.RestartPolicy != corev1.RestartPolicyAlways
}

func allReady(pod *corev1.Pod) bool {
	if len(pod.Status.ContainerStatuses) != len(pod.Spec.Containers) {
		return false
	}
	for _, status := range pod.Status.ContainerStatuses {
		if !status.Ready {
			return false
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

// missingImages maps containers whose image cannot be had to the reason a kubelet would give.
func (n *Node) missingImages(pod *corev1.Pod) map[string]string {
	missing := map[string]string{}
	if pod.Status.Phase == corev1.PodRunning {
		return missing
	}
	for _, container := range append(append([]corev1.Container{}, pod.Spec.InitContainers...), pod.Spec.Containers...) {
		here, reachable := n.images.has(container.Image), online()
		switch {
		case reachable && container.ImagePullPolicy != corev1.PullNever:
		case here && container.ImagePullPolicy != corev1.PullAlways:
		case container.ImagePullPolicy == corev1.PullNever:
			missing[container.Name] = "ErrImageNeverPull"
		default:
			missing[container.Name] = "ImagePullBackOff"
		}
	}
	return missing
}

func pendingStatus(pod *corev1.Pod, missing map[string]string) *corev1.PodStatus {
	status := &corev1.PodStatus{Phase: corev1.PodPending}
	for _, container := range pod.Spec.Containers {
		waiting := &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
		if reason := missing[container.Name]; reason != "" {
			waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: fmt.Sprintf("Back-off pulling image %q", container.Image)}
		}
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, State: corev1.ContainerState{Waiting: waiting},
		})
	}
	for _, container := range pod.Spec.InitContainers {
		if reason := missing[container.Name]; reason != "" {
			status.InitContainerStatuses = append(status.InitContainerStatuses, corev1.ContainerStatus{
				Name: container.Name, Image: container.Image,
				State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason}},
			})
		}
	}
	if sameWaiting(pod.Status.ContainerStatuses, status.ContainerStatuses) {
		return nil
	}
	status.Conditions = podConditions(pod, false, missing)
	return status
}

func sameWaiting(found, wanted []corev1.ContainerStatus) bool {
	if len(found) != len(wanted) {
		return false
	}
	for index := range found {
		if found[index].State.Waiting == nil || found[index].State.Waiting.Reason != wanted[index].State.Waiting.Reason {
			return false
		}
	}
	return true
}

func podConditions(pod *corev1.Pod, ready bool, missing map[string]string) []corev1.PodCondition {
	now := metav1.Now()
	condition := func(kind corev1.PodConditionType, holds bool, reason string) corev1.PodCondition {
		result := corev1.PodCondition{Type: kind, Status: corev1.ConditionFalse, Reason: reason, LastTransitionTime: now}
		if holds {
			result.Status, result.Reason = corev1.ConditionTrue, ""
		}
		return result
	}
	reason := "PodCompleted"
	if len(missing) > 0 {
		reason = "ContainersNotReady"
	}
	return []corev1.PodCondition{
		condition(corev1.PodReadyToStartContainers, true, ""),
		condition(corev1.PodInitialized, len(missing) == 0 || len(pod.Spec.InitContainers) == 0, "ContainersNotInitialized"),
		condition(corev1.ContainersReady, ready, reason),
		condition(corev1.PodReady, ready, reason),
		condition(corev1.PodScheduled, true, ""),
	}
}

func containerStatuses(containers []corev1.Container, pod *corev1.Pod, ended bool) []corev1.ContainerStatus {
	now := metav1.Now()
	statuses := []corev1.ContainerStatus{}
	for _, container := range containers {
		always := container.RestartPolicy != nil && *container.RestartPolicy == corev1.ContainerRestartPolicyAlways
		running := !ended || (always && !runsToEnd(pod))
		status := corev1.ContainerStatus{
			Name:        container.Name,
			Image:       normalise(container.Image),
			ImageID:     normalise(container.Image),
			ContainerID: "containerd://" + caHash([]byte(string(pod.UID)+container.Name)),
			Ready:       true,
			Started:     &running,
			State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		}
		if !running {
			status.Ready = isInit(pod, container.Name)
			status.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
				Reason: "Completed", StartedAt: now, FinishedAt: now, ContainerID: status.ContainerID,
			}}
		}
		statuses = append(statuses, status)
	}
	return statuses
}

func isInit(pod *corev1.Pod, name string) bool {
	for _, container := range pod.Spec.InitContainers {
		if container.Name == name {
			return true
		}
	}
	return false
}
