package main

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"

	"k8s.io/apimachinery/pkg/labels"
)

const (
	controlPlaneLabel = "node-role.kubernetes.io/control-plane"
	etcdLabel         = "node-role.kubernetes.io/etcd"
	nodeNameKey       = "etcd.k3s.cattle.io/node-name"
	nodeAddressKey    = "etcd.k3s.cattle.io/node-address"
	removeKey         = "etcd.k3s.cattle.io/remove"
	removedNameKey    = "etcd.k3s.cattle.io/removed-node-name"
	nodeFinalizer     = "wrangler.cattle.io/node"
	etcdFinalizer     = "wrangler.cattle.io/managed-etcd-controller"
)

// startControllers runs what K3S's own controllers do.
func (s *Server) startControllers(ctx context.Context) {
	factory := informers.NewSharedInformerFactory(s.admin, 0)
	nodes := factory.Core().V1().Nodes().Lister()
	factory.Start(ctx.Done())
	go func() {
		factory.WaitForCacheSync(ctx.Done())
		for ctx.Err() == nil {
			s.reconcileOnce(ctx, nodes)
			pauseQuietly(ctx, time.Second)
		}
	}()
	go s.manageMembers(ctx, nodes)
	go s.deployManifests(ctx)
	if podsAreReal() {
		go s.provisionLocalPaths(ctx)
	}
	go s.scheduleSnapshots(ctx)
}

func (s *Server) reconcileOnce(ctx context.Context, lister corelisters.NodeLister) {
	nodes, err := lister.List(labels.Everything())
	if err != nil {
		warningf("nodes cannot be listed: %v", err)
		return
	}
	within, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for _, node := range nodes {
		if node.Name == s.nodeName {
			if err := s.markServer(within, s.admin, node); err != nil {
				warningf("node %s cannot be labelled: %v", node.Name, err)
			}
		}
		// On every server: the leader may be one whose kubelet ends it before its controllers run.
		if err := s.finalizeNode(within, node); apierrors.IsConflict(err) {
			debugf("node %s changed meanwhile; again in a second", node.Name)
		} else if err != nil {
			warningf("node %s: %v", node.Name, err)
		}
	}
	if err := s.publishEndpoints(within, nodes); err != nil {
		debugf("the kubernetes endpoints cannot be written: %v", err)
	}
}

// leads tells whether this server's etcd member is the leader; only there do cluster-wide controllers act.
func (s *Server) leads() bool {
	return s.etcd != nil && s.etcd.Server.Leader() == s.etcd.Server.MemberID()
}

// markServer gives this host's Node what only a server may give it: roles and the etcd member's name.
func (s *Server) markServer(ctx context.Context, client kubernetes.Interface, node *corev1.Node) error {
	wantedLabels := map[string]string{controlPlaneLabel: "true", etcdLabel: "true"}
	wantedAnnotations := map[string]any{nodeNameKey: s.memberName, nodeAddressKey: s.nodeIP}
	if node.Annotations[removedNameKey] == s.memberName {
		return nil // this very member was removed on request
	}
	if removed := node.Annotations[removedNameKey]; removed != "" {
		infof("Resetting removed node flag as removed node name %s did not match current node name", removed)
		wantedAnnotations[removedNameKey], wantedAnnotations[removeKey] = nil, "false"
	}
	current := node.Annotations[nodeNameKey] == s.memberName && node.Annotations[nodeAddressKey] == s.nodeIP &&
		node.Labels[controlPlaneLabel] == "true" && node.Labels[etcdLabel] == "true" && len(wantedAnnotations) == 2
	if current || node.DeletionTimestamp != nil {
		return nil
	}
	return patchNode(ctx, client, node.Name, map[string]any{"labels": wantedLabels, "annotations": wantedAnnotations})
}

func patchNode(ctx context.Context, client kubernetes.Interface, name string, metadata map[string]any) error {
	content, err := json.Marshal(map[string]any{"metadata": metadata})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().Nodes().Patch(ctx, name, types.MergePatchType, content, metav1.PatchOptions{})
	return err
}

// finalizeNode holds a deleted Node until its etcd member and its password are gone.
func (s *Server) finalizeNode(ctx context.Context, node *corev1.Node) error {
	wanted := []string{nodeFinalizer}
	if _, isEtcd := node.Labels[etcdLabel]; isEtcd {
		wanted = append(wanted, etcdFinalizer)
	}
	if node.DeletionTimestamp == nil {
		if err := s.removeOnRequest(ctx, node); err != nil {
			return err
		}
		return s.addFinalizers(ctx, node, wanted)
	}
	if !slices.Contains(node.Finalizers, nodeFinalizer) && !slices.Contains(node.Finalizers, etcdFinalizer) {
		return nil
	}
	// A member that never started has no name.
	if name, named := node.Annotations[nodeNameKey]; named && slices.Contains(wanted, etcdFinalizer) {
		infof("Removing etcd member %s from cluster", node.Name)
		if err := s.removeMember(ctx, name, node.Annotations[nodeAddressKey]); err != nil {
			return err
		}
	}
	err := s.admin.CoreV1().Secrets(metav1.NamespaceSystem).Delete(ctx, passwordSecretName(node.Name), metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return err
	}
	rest := slices.DeleteFunc(slices.Clone(node.Finalizers), func(name string) bool { return name == nodeFinalizer || name == etcdFinalizer })
	err = patchNode(ctx, s.admin, node.Name, map[string]any{"finalizers": rest})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func (s *Server) addFinalizers(ctx context.Context, node *corev1.Node, wanted []string) error {
	all := slices.Clone(node.Finalizers)
	for _, name := range wanted {
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(all) == len(node.Finalizers) {
		return nil
	}
	return patchNode(ctx, s.admin, node.Name, map[string]any{"finalizers": all, "resourceVersion": node.ResourceVersion})
}

// publishEndpoints names the ready servers and port 6443 in the kubernetes Endpoints. kube-apiserver's
// own reconciler would name its loopback port's number.
func (s *Server) publishEndpoints(ctx context.Context, nodes []*corev1.Node) error {
	addresses := map[string]bool{s.advertise: true}
	for _, node := range nodes {
		if _, isServer := node.Labels[controlPlaneLabel]; isServer && nodeIsReady(node) && node.Name != s.nodeName {
			addresses[internalAddress(node)] = true
		}
	}
	delete(addresses, "")
	list := slices.Sorted(maps.Keys(addresses))
	s.setServers(list)
	if !s.leads() {
		return nil
	}
	if err := s.writeEndpoints(ctx, list); err != nil {
		return err
	}
	return s.writeEndpointSlice(ctx, list)
}

func (s *Server) setServers(addresses []string) {
	servers := []string{}
	for _, address := range addresses {
		servers = append(servers, net.JoinHostPort(address, itoa(s.port)))
	}
	s.servers.Store(&servers)
}

func nodeIsReady(node *corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func internalAddress(node *corev1.Node) string {
	for _, address := range node.Status.Addresses {
		if address.Type == corev1.NodeInternalIP {
			return address.Address
		}
	}
	return ""
}

func (s *Server) writeEndpoints(ctx context.Context, addresses []string) error {
	subset := corev1.EndpointSubset{Ports: []corev1.EndpointPort{{Name: "https", Port: int32(s.port), Protocol: corev1.ProtocolTCP}}}
	for _, address := range addresses {
		subset.Addresses = append(subset.Addresses, corev1.EndpointAddress{IP: address})
	}
	client := s.admin.CoreV1().Endpoints(metav1.NamespaceDefault)
	found, err := client.Get(ctx, "kubernetes", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, &corev1.Endpoints{
			ObjectMeta: metav1.ObjectMeta{Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelSkipMirror: "true"}},
			Subsets:    []corev1.EndpointSubset{subset},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil || equality.Semantic.DeepEqual(found.Subsets, []corev1.EndpointSubset{subset}) {
		return err
	}
	found.Subsets = []corev1.EndpointSubset{subset}
	_, err = client.Update(ctx, found, metav1.UpdateOptions{})
	return err
}

func (s *Server) writeEndpointSlice(ctx context.Context, addresses []string) error {
	ready, port, name, protocol := true, int32(s.port), "https", corev1.ProtocolTCP
	endpoints := []discoveryv1.Endpoint{}
	for _, address := range addresses {
		endpoints = append(endpoints, discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
	}
	client := s.admin.DiscoveryV1().EndpointSlices(metav1.NamespaceDefault)
	found, err := client.Get(ctx, "kubernetes", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = client.Create(ctx, &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   endpoints,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &protocol}},
		}, metav1.CreateOptions{})
		return err
	}
	if err != nil || equality.Semantic.DeepEqual(found.Endpoints, endpoints) {
		return err
	}
	found.Endpoints = endpoints
	_, err = client.Update(ctx, found, metav1.UpdateOptions{})
	return err
}
