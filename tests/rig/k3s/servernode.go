package main

import (
	"context"
	"os"
	"strconv"
	"time"
)

// startNode runs this host's own node. A host that joins shows its password before etcd knows it, so that a name that
// is taken never reaches etcd. The Node itself is registered by the kubelet, long after etcd has made the host a voter.
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
	fresh := !s.paths.etcdExists()
	go func() {
		if node.join(ctx, find) != nil || s.awaitKubelet(ctx, fresh) != nil {
			return // the process is ending
		}
		if err := node.run(ctx, func() {}); err != nil {
			shutDownBy("kubelet exited", err)
		}
	}()
	return nil
}

// awaitKubelet waits until the kubelet has come as far as it gets: it starts when the API is up, and takes its time to
// register a new Node, or to fail. One whose Node is there is as quick as it can be, which tests need not wait for.
func (s *Server) awaitKubelet(ctx context.Context, fresh bool) error {
	for !s.ready.Load() {
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	if podsAreReal() {
		return nil
	}
	if fresh || checkKubeletArguments(s.options.List("kubelet-arg")) != nil {
		return pause(ctx, kubeletDelay())
	}
	return nil
}

// kubeletDelay is K3S_RIG_NODE_SECONDS; with K3S it is up to 40 s.
func kubeletDelay() time.Duration {
	seconds, err := strconv.ParseFloat(os.Getenv("K3S_RIG_NODE_SECONDS"), 64)
	if err != nil {
		seconds = 3
	}
	return time.Duration(seconds * float64(time.Second))
}

// shutDownBy ends this process because a component ended, in K3S's words.
func shutDownBy(what string, err error) {
	errorf("Shutdown request received: %s: %v", what, err)
	os.Exit(1)
}

func (s *Server) localRemote() (*Remote, error) {
	ca, err := os.ReadFile(s.paths.tls("server-ca.crt"))
	if err != nil {
		return nil, err
	}
	client, err := verifiedClient(ca, nil)
	return &Remote{base: "https://127.0.0.1:" + itoa(s.port), caPEM: ca, user: serverUser, secret: s.secret, client: client}, err
}
