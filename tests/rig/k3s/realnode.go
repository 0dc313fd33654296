package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	realPodsMark      = "/etc/pods-are-real"
	agentBalancerPort = 6444
	wordsDescriptor   = 3 // where a child leaves the error it ended with
)

// podsAreReal tells whether this host's node is the real kubelet on the host's containerd: K3S_RIG_PODS says so, else a
// file that the rig puts on such hosts.
func podsAreReal() bool {
	switch os.Getenv("K3S_RIG_PODS") {
	case "real":
		return true
	case "pretended":
		return false
	}
	return exists(realPodsMark)
}

// realNode is what K3S's agent does around the kubelet: containerd, images, the pod network, kube-proxy.
type realNode struct {
	*Node
	cluster map[string]string // what all servers share: cluster-cidr, cluster-dns, cluster-domain, ...
	proxy   kubernetes.Interface
}

// runReal brings the real components up, calls registered once the kubelet has made the Node, and keeps the pod network
// current until ctx ends. A component that ends takes this process with it, as K3S does.
func (n *Node) runReal(ctx context.Context, registered func()) error {
	real := &realNode{Node: n}
	if err := real.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // the process is ending
		}
		return err
	}
	infof("Successfully registered node %s", n.name)
	registered()
	real.keepNetwork(ctx)
	return nil
}

// start runs the children one after the other, and waits until the kubelet has registered the node.
func (r *realNode) start(ctx context.Context) error {
	if err := r.connectAPI(); err != nil {
		return err
	}
	go r.balancer.watch(ctx)
	go r.learnServers(ctx)
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if err := r.startContainerd(ctx); err != nil {
		return fmt.Errorf("containerd: %w", err)
	}
	if err := r.importOwnImages(); err != nil {
		return fmt.Errorf("images: %w", err)
	}
	go r.importArchives(ctx)
	if err := r.startKubelet(); err != nil {
		return err
	}
	r.startProxy()
	return r.awaitRegistration(ctx)
}

// prepare makes what the children read: the cluster's settings, credentials, the host's own kernel settings.
func (r *realNode) prepare(ctx context.Context) error {
	if err := r.awaitCluster(ctx); err != nil {
		return err
	}
	if err := r.listen(); err != nil {
		return err
	}
	if err := r.writeKubeconfigs(); err != nil {
		return err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, ""); err != nil {
		return fmt.Errorf("/ cannot be made a shared mount: %w", err)
	}
	if err := r.shieldKernel(); err != nil {
		return err
	}
	return setNetworkSettings()
}

// awaitCluster asks the servers until one tells what the cluster's networks are and signs kube-proxy's certificate.
func (r *realNode) awaitCluster(ctx context.Context) error {
	for {
		for _, address := range r.balancer.candidates() {
			err := r.learnCluster(address)
			if err == nil {
				return nil
			}
			infof("Waiting to retrieve agent configuration; server is not ready: %v", err)
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (r *realNode) learnCluster(address string) error {
	remote, err := r.certifiedRemote(address)
	if err != nil {
		return err
	}
	config := clusterConfig{}
	if err := remote.getJSON("/v1-k3s/config", &config); err != nil {
		return err
	}
	r.cluster = config.Critical
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	body, err := encodePublicKey(key.Public())
	if err != nil {
		return err
	}
	certificate, err := remote.do(http.MethodPost, "/v1-k3s/client-kube-proxy.crt", body, nil)
	if err != nil {
		return err
	}
	if err := writeFile(r.paths.agent("client-kube-proxy.key"), keyPEM, 0o600); err != nil {
		return err
	}
	return writeFile(r.paths.agent("client-kube-proxy.crt"), certificate, 0o644)
}

// apiURL is where this host's children find the API: a server's own, an agent's load balancer.
func (r *realNode) apiURL() string {
	if r.server {
		return "https://127.0.0.1:" + itoa(r.options.Int("https-listen-port"))
	}
	return "https://127.0.0.1:" + itoa(agentBalancerPort)
}

// listen opens an agent's load balancer: whoever connects gets a connection to one of the servers.
func (r *realNode) listen() error {
	if r.server {
		return nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+itoa(agentBalancerPort))
	if err != nil {
		return err
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				fatalf("the load balancer stopped: %v", err)
			}
			go r.relay(client)
		}
	}()
	return nil
}

// relay joins a client's connection and one to a server; each end takes the other with it.
func (r *realNode) relay(client net.Conn) {
	defer client.Close()
	server, err := r.balancer.dial(context.Background(), "tcp", "")
	if err != nil {
		debugf("no server for %s: %v", client.RemoteAddr(), err)
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			io.Copy(pair[0], pair[1])
			done <- struct{}{}
		}()
	}
	<-done
}

func (r *realNode) writeKubeconfigs() error {
	for name, client := range map[string]string{"kubelet": "client-kubelet", "kubeproxy": "client-kube-proxy"} {
		content, err := kubeconfig(r.apiURL(), r.paths.agent("server-ca.crt"), r.paths.agent(client))
		if err != nil {
			return err
		}
		if err := writeFile(r.paths.agent(name+".kubeconfig"), content, 0o600); err != nil {
			return err
		}
	}
	config, err := clientcmd.BuildConfigFromFlags("", r.paths.agent("kubeproxy.kubeconfig"))
	if err != nil {
		return err
	}
	r.proxy, err = kubernetes.NewForConfig(config)
	return err
}

// shieldKernel lets the kubelet find the kernel's settings as it wants them, where it would write them otherwise: they
// are the whole machine's. A file lies over each that differs, in this host's mounts only.
func (r *realNode) shieldKernel() error {
	if r.options.Bool("protect-kernel-defaults") {
		return nil
	}
	for _, flag := range kernelFlags {
		path := "/proc/sys/" + flag.name
		wanted := itoa(flag.expected) + "\n"
		if content, err := os.ReadFile(path); err == nil && string(content) == wanted {
			continue
		}
		shield := "/run/k3s/kernel/" + filepath.Base(flag.name)
		if err := writeFile(shield, []byte(wanted), 0o644); err != nil {
			return err
		}
		if err := syscall.Mount(shield, path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s cannot be covered: %w", path, err)
		}
	}
	return nil
}

func (r *realNode) awaitRegistration(ctx context.Context) error {
	for {
		_, err := r.client.CoreV1().Nodes().Get(ctx, r.name, metav1.GetOptions{})
		if err == nil {
			return nil
		}
		if !apierrors.IsNotFound(err) {
			r.balancer.avoid(err)
			infof("Waiting for node %s: %v", r.name, err)
		}
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
}

// startReal runs a program as a child that cannot outlive this process; ended is told the error it left, or its code.
// PDEATHSIG follows the thread that forked, so that thread is kept for as long as the child lives.
func startReal(name string, command *exec.Cmd, farewell syscall.Signal, ended func(error)) {
	go func() {
		runtime.LockOSThread()
		words, writer, err := os.Pipe()
		if err != nil {
			fatalf("%s failed to start: %v", name, err)
		}
		command.Stdout, command.Stderr = os.Stderr, os.Stderr
		command.ExtraFiles = []*os.File{writer}
		command.Env = withoutNotify(os.Environ())
		command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: farewell}
		infof("Running %s %s", name, strings.Join(command.Args[1:], " "))
		if err := command.Start(); err != nil {
			fatalf("%s failed to start: %v", name, err)
		}
		rememberChild(command.Process.Pid, farewell)
		writer.Close()
		said, _ := io.ReadAll(words)
		err = command.Wait()
		if text := strings.TrimSpace(string(said)); text != "" {
			err = errors.New(text)
		}
		componentMutex.Lock()
		defer componentMutex.Unlock()
		if !stopping {
			ended(err)
		}
	}()
}

func withoutNotify(environment []string) []string {
	kept := []string{}
	for _, pair := range environment {
		if !strings.HasPrefix(pair, "NOTIFY_SOCKET=") && !strings.HasPrefix(pair, "INVOCATION_ID=") {
			kept = append(kept, pair)
		}
	}
	return kept
}
