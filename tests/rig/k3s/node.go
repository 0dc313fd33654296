package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

const (
	leaseDuration  = 40 * time.Second
	heartbeat      = 5 * time.Second
	nodeGrace      = 24 * time.Second // after which the node lifecycle controller calls a silent node NotReady
	statusInterval = 5 * time.Minute
)

// Node is this host's place in the cluster: what the kubelet would be.
type Node struct {
	options   *Options
	paths     Paths
	name      string
	ip        string
	server    bool // a control plane host
	balancer  *balancer
	client    kubernetes.Interface
	images    *imageStore
	addresses *podAddresses
}

func newNode(options *Options) (*Node, error) {
	node := &Node{options: options, paths: pathsOf(options)}
	var err error
	if node.name, node.ip, err = hostIdentity(options, node.paths); err != nil {
		return nil, err
	}
	if err := checkNodeLabels(options.List("node-label")); err != nil {
		return nil, err
	}
	if _, err := parseTaints(options.List("node-taint")); err != nil {
		return nil, err
	}
	node.images = newImageStore(node.paths.agent("images"))
	node.addresses = &podAddresses{used: map[string]string{}}
	return node, os.MkdirAll(node.paths.agent(), 0o755)
}

// hasIdentity tells whether an earlier join's certificate is still good for some weeks.
func (n *Node) hasIdentity() bool {
	authority, err := loadCertificate(n.paths.agent("client-ca.crt"))
	if err != nil {
		return false
	}
	found, err := loadCertificate(n.paths.agent("client-kubelet.crt"))
	if err != nil || found.CheckSignatureFrom(authority) != nil {
		return false
	}
	sameName := found.Subject.CommonName == "system:node:"+n.name
	return sameName && exists(n.paths.agent("server-ca.crt")) && time.Until(found.NotAfter) > renewBefore
}

// fetchIdentity shows the node's password and gets a certificate for its name.
func (n *Node) fetchIdentity(remote *Remote) error {
	password, err := n.password()
	if err != nil {
		return err
	}
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	body, err := encodePublicKey(key.Public())
	if err != nil {
		return err
	}
	headers := map[string]string{"k3s-Node-Name": n.name, "k3s-Node-Password": password, "k3s-Node-IP": n.ip}
	certificate, err := remote.do(http.MethodPost, "/v1-k3s/client-kubelet.crt", body, headers)
	if err != nil {
		return err
	}
	clientCA, err := remote.get("/v1-k3s/client-ca.crt")
	if err != nil {
		return err
	}
	return n.keepIdentity(map[string][]byte{
		"client-kubelet.key": keyPEM, "client-kubelet.crt": certificate,
		"client-ca.crt": clientCA, "server-ca.crt": remote.caPEM,
	})
}

func (n *Node) keepIdentity(files map[string][]byte) error {
	for name, content := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		if err := writeFile(n.paths.agent(name), content, mode); err != nil {
			return err
		}
	}
	content, err := kubeconfig("https://127.0.0.1:6443", n.paths.agent("server-ca.crt"), n.paths.agent("client-kubelet"))
	if err != nil {
		return err
	}
	return writeFile(n.paths.agent("kubelet.kubeconfig"), content, 0o600)
}

// password proves at the next registration that this is the host which took the name.
func (n *Node) password() (string, error) {
	file := n.paths.etc + "/node/password"
	content, err := os.ReadFile(file)
	if err == nil {
		return strings.TrimSpace(string(content)), nil
	}
	if !os.IsNotExist(err) {
		return "", err
	}
	if err := os.MkdirAll(n.paths.etc, 0o755); err != nil {
		return "", err
	}
	password := randomHex(16)
	return password, writeFile(file, []byte(password+"\n"), 0o600)
}

// connectAPI makes the client that speaks as system:node:<name> through the balancer.
func (n *Node) connectAPI() error {
	client, err := kubernetes.NewForConfig(&rest.Config{
		Host: "https://kubernetes:6443",
		Dial: n.balancer.dial,
		TLSClientConfig: rest.TLSClientConfig{
			ServerName: "kubernetes",
			CAFile:     n.paths.agent("server-ca.crt"),
			CertFile:   n.paths.agent("client-kubelet.crt"),
			KeyFile:    n.paths.agent("client-kubelet.key"),
		},
		QPS: 50, Burst: 100,
		UserAgent: "kubelet/" + version,
	})
	if err != nil {
		return fmt.Errorf("failed to make the node's client: %w", err)
	}
	n.client = client
	return nil
}

// run registers the node, calls registered, and keeps the node and its pods alive until ctx ends.
func (n *Node) run(ctx context.Context, registered func()) error {
	if podsAreReal() {
		return n.runReal(ctx, registered)
	}
	if err := checkKubeletArguments(n.options.List("kubelet-arg")); err != nil {
		return err
	}
	if err := n.connectAPI(); err != nil {
		return err
	}
	go n.balancer.watch(ctx)
	for {
		err := n.register(ctx)
		if err == nil {
			break
		}
		n.balancer.avoid(err)
		warningf("Unable to register node %s with API server: %v", n.name, err)
		if err := pause(ctx, time.Second); err != nil {
			return nil
		}
	}
	infof("Successfully registered node %s", n.name)
	registered()
	go n.images.watch(ctx)
	go n.learnServers(ctx)
	go n.runPods(ctx)
	defer n.pretendNetwork(ctx)()
	n.beat(ctx)
	return nil
}

// learnServers keeps the list of servers current, with the node's own certificate.
func (n *Node) learnServers(ctx context.Context) {
	for ; ; pauseQuietly(ctx, 10*time.Second) {
		if ctx.Err() != nil {
			return
		}
		for _, address := range n.balancer.candidates() {
			remote, err := n.certifiedRemote(address)
			if err != nil {
				debugf("no client for %s: %v", address, err)
				continue
			}
			addresses := []string{}
			if err := remote.getJSON("/v1-k3s/apiservers", &addresses); err != nil {
				debugf("no list of servers from %s: %v", address, err)
				continue
			}
			n.balancer.learn(addresses)
			break
		}
	}
}

func pauseQuietly(ctx context.Context, duration time.Duration) {
	if err := pause(ctx, duration); err != nil {
		debugf("stopped waiting: %v", err)
	}
}

func (n *Node) certifiedRemote(address string) (*Remote, error) {
	ca, err := os.ReadFile(n.paths.agent("server-ca.crt"))
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(n.paths.agent("client-kubelet.crt"), n.paths.agent("client-kubelet.key"))
	if err != nil {
		return nil, err
	}
	client, err := verifiedClient(ca, &pair)
	return &Remote{base: "https://" + address, caPEM: ca, client: client}, err
}
