package main

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// Pretended pods have no network. Of CoreDNS, which tools ask for to see that the network of pods works, as much is here as can be
// asked over TCP: its pod's address and that of its Service answer on the host of the pod, and other hosts have routes to it. A
// host that is cut off gets no answer, and where CoreDNS does not run nobody does. What is asked is not answered in DNS.
const (
	podNetworkKey = "rig.k3s/pod-network"
	tunnelKey     = "flannel.alpha.coreos.com/public-ip"
	dnsService    = "kube-dns"
	dnsPort       = "53"
	lookAgain     = 10 // steps after which routes are set again: a cable that was pulled takes them with it
)

// podNetwork is published in an annotation of CoreDNS' Service, which every node may read.
type podNetwork struct {
	Routes  map[string]string `json:"routes,omitempty"`  // range of addresses -> address of its node
	Answers map[string]string `json:"answers,omitempty"` // address of CoreDNS -> name of the node that has it
}

// pretendedNetwork is what of it is true on this host now.
type pretendedNetwork struct {
	node      *Node
	admin     kubernetes.Interface // of a server
	routes    map[string]string
	listeners map[string]net.Listener
	steps     int
}

// pretendNetwork keeps it up until ctx ends; what it gives waits until nothing of it is left on the host.
func (n *Node) pretendNetwork(ctx context.Context) func() {
	w := &pretendedNetwork{node: n, routes: map[string]string{}, listeners: map[string]net.Listener{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ; ctx.Err() == nil; pauseQuietly(ctx, time.Second) {
			w.step(ctx)
		}
		w.apply(podNetwork{})
	}()
	return func() { <-ended }
}

func (w *pretendedNetwork) step(ctx context.Context) {
	within, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if w.steps++; w.steps == 1 && w.announce(within) != nil {
		w.steps = 0
	}
	if w.node.server {
		if err := w.publish(within); err != nil {
			debugf("the network of pods cannot be published: %v", err)
		}
	}
	service, err := w.node.client.CoreV1().Services(metav1.NamespaceSystem).Get(within, dnsService, metav1.GetOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		debugf("the network of pods cannot be read: %v", err)
		return
	}
	wanted := podNetwork{}
	if err == nil {
		if text := service.Annotations[podNetworkKey]; text != "" && json.Unmarshal([]byte(text), &wanted) != nil {
			return
		}
	}
	w.apply(wanted)
}

// announce writes the address that flannel would take: that of flannel-iface, else of the default route's interface.
func (w *pretendedNetwork) announce(ctx context.Context) error {
	address := interfaceAddress(firstOf(w.node.options.String("flannel-iface"), defaultInterface()))
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"annotations": map[string]string{tunnelKey: firstOf(address, w.node.ip)},
	}})
	if err != nil {
		return err
	}
	_, err = w.node.client.CoreV1().Nodes().Patch(ctx, w.node.name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func interfaceAddress(name string) string {
	found, err := net.InterfaceByName(name)
	if err != nil {
		return ""
	}
	addresses, err := found.Addrs()
	if err != nil {
		return ""
	}
	for _, address := range addresses {
		if network, isNetwork := address.(*net.IPNet); isNetwork && network.IP.To4() != nil {
			return network.IP.String()
		}
	}
	return ""
}

func defaultInterface() string {
	file, err := os.Open("/proc/net/route")
	if err != nil {
		return ""
	}
	defer file.Close()
	name, best := "", -1
	for lines := bufio.NewScanner(file); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 7 || fields[1] != "00000000" {
			continue
		}
		if metric, err := strconv.Atoi(fields[6]); err == nil && (best < 0 || metric < best) {
			name, best = fields[0], metric
		}
	}
	return name
}

// publish tells all nodes, once it has changed.
func (w *pretendedNetwork) publish(ctx context.Context) error {
	if w.admin == nil {
		config, err := clientcmd.BuildConfigFromFlags("", w.node.paths.etc+"/k3s/k3s.yaml")
		if err != nil {
			return err
		}
		if w.admin, err = kubernetes.NewForConfig(config); err != nil {
			return err
		}
	}
	service, err := w.admin.CoreV1().Services(metav1.NamespaceSystem).Get(ctx, dnsService, metav1.GetOptions{})
	if err != nil {
		return err
	}
	network, err := w.look(ctx, service.Spec.ClusterIP)
	if err != nil {
		return err
	}
	text, err := json.Marshal(network)
	if err != nil || string(text) == service.Annotations[podNetworkKey] {
		return err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{podNetworkKey: string(text)}}})
	if err != nil {
		return err
	}
	_, err = w.admin.CoreV1().Services(metav1.NamespaceSystem).Patch(ctx, dnsService, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

// look finds each node's range of addresses, and where CoreDNS is Ready; its Service leads to the first of its pods.
func (w *pretendedNetwork) look(ctx context.Context, serviceIP string) (podNetwork, error) {
	network := podNetwork{Routes: map[string]string{}, Answers: map[string]string{}}
	nodes, err := w.admin.CoreV1().Nodes().List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return network, err
	}
	addresses := map[string]string{}
	for _, node := range nodes.Items {
		for _, address := range node.Status.Addresses {
			if address.Type == corev1.NodeInternalIP {
				addresses[node.Name] = address.Address
			}
		}
		if node.Spec.PodCIDR != "" && addresses[node.Name] != "" {
			network.Routes[node.Spec.PodCIDR] = addresses[node.Name]
		}
	}
	pods, err := w.admin.CoreV1().Pods(metav1.NamespaceSystem).List(ctx, metav1.ListOptions{
		ResourceVersion: "0", LabelSelector: "k8s-app=kube-dns",
	})
	if err != nil {
		return network, err
	}
	for index := range pods.Items {
		pod := &pods.Items[index]
		if pod.DeletionTimestamp != nil || pod.Status.PodIP == "" || !allReady(pod) || addresses[pod.Spec.NodeName] == "" {
			continue
		}
		network.Answers[pod.Status.PodIP] = pod.Spec.NodeName
		if network.Answers[serviceIP] == "" {
			network.Answers[serviceIP] = pod.Spec.NodeName
			network.Routes[serviceIP+"/32"] = addresses[pod.Spec.NodeName]
		}
	}
	return network, nil
}

// apply brings the host to what is wanted.
func (w *pretendedNetwork) apply(wanted podNetwork) {
	for place, via := range w.routes {
		if wanted.Routes[place] != via {
			ip("route", "delete", place, "via", via)
			delete(w.routes, place)
		}
	}
	for place, via := range wanted.Routes {
		if via == w.node.ip || (w.routes[place] == via && w.steps%lookAgain != 0) {
			continue
		}
		if ip("route", "replace", place, "via", via) {
			w.routes[place] = via
		}
	}
	for address, listener := range w.listeners {
		if wanted.Answers[address] != w.node.name {
			listener.Close()
			ip("address", "delete", address+"/32", "dev", "lo")
			delete(w.listeners, address)
		}
	}
	for address, name := range wanted.Answers {
		if name == w.node.name && w.listeners[address] == nil {
			w.listen(address)
		}
	}
}

// listen takes the address. Of the host's own it is none: what tools list are those of a wider scope.
func (w *pretendedNetwork) listen(address string) {
	ip("address", "replace", address+"/32", "dev", "lo", "scope", "host")
	listener, err := net.Listen("tcp", net.JoinHostPort(address, dnsPort))
	if err != nil {
		warningf("nobody answers for CoreDNS at %s: %v", address, err)
		return
	}
	w.listeners[address] = listener
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go hangUp(connection)
		}
	}()
}

// hangUp lets in and closes when nothing sensible was said for a while, as a server of DNS does.
func hangUp(connection net.Conn) {
	defer connection.Close()
	if connection.SetDeadline(time.Now().Add(2*time.Second)) != nil {
		return
	}
	buffer := make([]byte, 512)
	for {
		if _, err := connection.Read(buffer); err != nil {
			return
		}
	}
}

// ip runs the host's own program for its network.
func ip(arguments ...string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	said, err := exec.CommandContext(ctx, "ip", arguments...).CombinedOutput()
	if err != nil {
		debugf("ip %s: %v: %s", strings.Join(arguments, " "), err, strings.TrimSpace(string(said)))
	}
	return err == nil
}
