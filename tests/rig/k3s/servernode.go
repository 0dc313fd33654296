package main

import (
	"context"
	"os"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// startNode runs this host's own node. A host that joins is a registered node before etcd knows it:
// so a name that is taken never reaches etcd, and a learner can be seen.
func (s *Server) startNode(ctx context.Context, join *Remote) error {
	if s.options.Bool("disable-agent") {
		return nil
	}
	node, err := newNode(s.options)
	if err != nil {
		return err
	}
	joined := ""
	if join != nil {
		if joined, err = hostPort(join.base); err != nil {
			return err
		}
	}
	node.server = true
	node.balancer = newBalancer(joined, s.paths.agent("etc", "k3s-agent-load-balancer.json"))
	node.balancer.local = func() string {
		if s.ready.Load() {
			return "127.0.0.1:" + itoa(s.port)
		}
		return ""
	}
	find := func() (*Remote, error) {
		if join != nil && !s.ready.Load() {
			return join, nil
		}
		return s.localRemote()
	}
	if join != nil {
		if err := node.join(ctx, find); err != nil {
			return err
		}
	}
	go func() {
		if err := node.join(ctx, find); err != nil {
			return // the process is ending
		}
		if err := node.run(ctx, func() { s.announce(ctx, join) }); err != nil {
			fatalf("kubelet exited: %v", err)
		}
	}()
	return nil
}

func (s *Server) localRemote() (*Remote, error) {
	ca, err := os.ReadFile(s.paths.tls("server-ca.crt"))
	if err != nil {
		return nil, err
	}
	client, err := verifiedClient(ca, nil)
	return &Remote{base: "https://127.0.0.1:" + itoa(s.port), caPEM: ca, user: serverUser, secret: s.secret, client: client}, err
}

// announce labels a joining host's Node through the server it joins, since its own API is not up yet.
func (s *Server) announce(ctx context.Context, join *Remote) {
	if join == nil || s.ready.Load() {
		return
	}
	config := rest.CopyConfig(s.adminConfig)
	config.Host = join.base
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		warningf("no client for %s: %v", join.base, err)
		return
	}
	within, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	node, err := client.CoreV1().Nodes().Get(within, s.nodeName, metav1.GetOptions{})
	if err == nil {
		err = s.markServer(within, client, node)
	}
	if err != nil {
		warningf("node %s cannot be labelled yet: %v", s.nodeName, err)
	}
}
