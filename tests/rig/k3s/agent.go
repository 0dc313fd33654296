package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

func runAgent(arguments []string) error {
	options, err := parseOptions("agent", arguments)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 && !options.Bool("rootless") {
		return errors.New("agent must be run as root, or with --rootless and/or --docker")
	}
	node, token, err := newAgent(options)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	infof("Starting k3s agent %s (%s)", version, commit)
	if err := node.join(ctx, func() (*Remote, error) { return agentRemote(node, token) }); err != nil {
		return nil //nolint:nilerr // it waits until told to stop
	}
	err = node.run(ctx, func() {
		infof("k3s agent is up and running")
		if _, err := daemon.SdNotify(true, "READY=1\n"); err != nil {
			warningf("failed to notify systemd: %v", err)
		}
	})
	if err != nil {
		shutDownBy("kubelet exited", err)
	}
	return nil
}

func newAgent(options *Options) (*Node, Token, error) {
	server := options.String("server")
	if server == "" {
		return nil, Token{}, errors.New("--server is required")
	}
	secret, err := options.secret("token")
	if err != nil {
		return nil, Token{}, err
	}
	if secret == "" {
		return nil, Token{}, errors.New("--token is required")
	}
	token, err := parseToken(secret)
	if err != nil {
		return nil, Token{}, err
	}
	if err := checkKernel(options); err != nil {
		return nil, Token{}, err
	}
	node, err := newNode(options)
	if err != nil {
		return nil, Token{}, err
	}
	joined, err := hostPort(server)
	if err != nil {
		return nil, Token{}, err
	}
	node.balancer = newBalancer(joined, node.paths.agent("etc", "k3s-agent-load-balancer.json"))
	return node, token, nil
}

func hostPort(server string) (string, error) {
	parsed, err := url.Parse(server)
	if err != nil {
		return "", fmt.Errorf("Invalid server url, failed to parse: %s: %w", server, err) //nolint:staticcheck // K3S's words
	}
	if parsed.Scheme != "https" {
		return "", errors.New("only https:// URLs are supported, invalid scheme: " + server)
	}
	port := firstOf(parsed.Port(), "443")
	return net.JoinHostPort(parsed.Hostname(), port), nil
}

// agentRemote finds a server that answers, the configured one first.
func agentRemote(node *Node, token Token) (*Remote, error) {
	configured := node.options.String("server")
	remote, err := connect(configured, token, nodeUser)
	if err == nil {
		return remote, nil
	}
	errorf("Failed to validate connection to cluster at %s: %v", configured, err)
	for _, address := range node.balancer.candidates() {
		if other, otherErr := connect("https://"+address, token, nodeUser); otherErr == nil {
			return other, nil
		}
	}
	return nil, err
}

// join gets the node's certificate, trying for as long as it takes. A node that has one shows that
// instead of the token, and keeps it when no server answers.
func (n *Node) join(ctx context.Context, find func() (*Remote, error)) error {
	if n.hasIdentity() && n.refreshIdentity() {
		return nil
	}
	for {
		remote, err := find()
		if err == nil {
			err = n.fetchIdentity(remote)
			if err == nil {
				return nil
			}
			infof("Waiting to retrieve agent configuration; server is not ready: %v", err)
		}
		if err := pause(ctx, n.retryAfter(err)); err != nil {
			return err
		}
	}
}

// refreshIdentity renews the certificate with the one at hand, as K3S does at every start. It tells
// whether the node may go on with what it has: not if the cluster is another one or refuses the node.
func (n *Node) refreshIdentity() bool {
	for _, address := range n.balancer.candidates() {
		remote, err := n.certifiedRemote(address)
		if err != nil {
			return false
		}
		remote.client.Timeout = 3 * time.Second
		err = n.fetchIdentity(remote)
		status, stranger := &statusError{}, x509.UnknownAuthorityError{}
		switch {
		case err == nil:
			return true
		case errors.As(err, &stranger):
			warningf("%s belongs to another cluster than this node's certificate", address)
			if address != n.balancer.joined {
				continue
			}
			return false
		case errors.As(err, &status) && status.code != http.StatusServiceUnavailable:
			warningf("%s refused this node's certificate: %v", address, err)
			return false
		}
	}
	return true
}

// retryAfter is short while a server starts and K3S's five seconds when it said no.
func (n *Node) retryAfter(err error) time.Duration {
	status := &statusError{}
	if errors.As(err, &status) && status.code == 503 {
		return 300 * time.Millisecond
	}
	return 3 * time.Second
}
