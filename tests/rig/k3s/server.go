package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Server is one control plane host: etcd and the supervisor in this process, Kubernetes in children.
type Server struct {
	options     *Options
	paths       Paths
	nodeName    string
	nodeIP      string
	advertise   string
	port        int
	secret      string // the cluster's shared secret
	agentSecret string // what agents show instead; "" when the two are one
	memberName  string // this host's name in etcd: <node>-<8 hexadecimal digits>
	etcd        *embed.Etcd
	etcdClient  atomic.Pointer[clientv3.Client]
	admin       kubernetes.Interface
	adminConfig *rest.Config
	ready       atomic.Bool
	stopping    atomic.Bool
	servers     atomic.Pointer[[]string] // addresses of the API, as the kubernetes Endpoints have them
}

func runServer(arguments []string) error {
	options, err := parseOptions("server", arguments)
	if err != nil {
		return err
	}
	server, err := newServer(options)
	if err != nil {
		return err
	}
	if options.Bool("cluster-reset") {
		return server.resetCluster()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := server.start(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done()
	server.shutDown()
	return nil
}

func newServer(options *Options) (*Server, error) {
	if os.Geteuid() != 0 && !options.Bool("rootless") {
		return nil, errors.New("must run as root unless --rootless is specified")
	}
	if err := checkServerOptions(options); err != nil {
		return nil, err
	}
	if err := checkKernel(options); err != nil {
		return nil, err
	}
	server := &Server{options: options, paths: pathsOf(options), port: options.Int("https-listen-port")}
	var err error
	if server.nodeName, server.nodeIP, err = hostIdentity(options, server.paths); err != nil {
		return nil, err
	}
	server.advertise = firstOf(options.String("advertise-address"), options.String("node-external-ip"), server.nodeIP)
	if server.agentSecret, err = agentSecret(options); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(server.paths.data, 0o755); err != nil {
		return nil, err
	}
	return server, os.MkdirAll(server.paths.server("db"), 0o700)
}

func checkServerOptions(options *Options) error {
	if options.String("datastore-endpoint") != "" {
		return errors.New("this test distribution keeps its data in embedded etcd only: remove datastore-endpoint")
	}
	for _, key := range []string{"cluster-cidr", "service-cidr"} {
		if _, _, err := net.ParseCIDR(options.List(key)[0]); err != nil {
			return fmt.Errorf("invalid %s %s: %w", key, options.List(key)[0], err)
		}
	}
	return nil
}

func agentSecret(options *Options) (string, error) {
	value, err := options.secret("agent-token")
	if err != nil || value == "" {
		return "", err
	}
	token, err := parseToken(value)
	return token.Secret, err
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}

// hostIdentity gives the node's name and address. Without node-ip a default route is needed, as in K3S.
func hostIdentity(options *Options, paths Paths) (name, address string, err error) {
	if name = options.String("node-name"); name == "" {
		if name, err = os.Hostname(); err != nil {
			return "", "", err
		}
	}
	name = strings.ToLower(name)
	if options.Bool("with-node-id") {
		name += "-" + nodeID(paths)
	}
	if address = firstOf(options.List("node-ip")...); address != "" {
		if net.ParseIP(address) == nil {
			return "", "", fmt.Errorf("invalid node-ip %s", address)
		}
		return name, address, nil
	}
	chosen, err := utilnet.ChooseHostInterface()
	if err != nil {
		return "", "", fmt.Errorf("failed to find the node's address, set node-ip: %w", err)
	}
	return name, chosen.String(), nil
}

// nodeID is kept beside the node's password, so that it survives a new installation as K3S's does.
func nodeID(paths Paths) string {
	file := paths.etc + "/node/id"
	if content, err := os.ReadFile(file); err == nil {
		return strings.TrimSpace(string(content))
	}
	id := randomHex(4)
	if err := writeFile(file, []byte(id+"\n"), 0o644); err != nil {
		fatalf("failed to write %s: %v", file, err)
	}
	return id
}

// serviceIP is the nth address of the service range.
func (s *Server) serviceIP(n int64) string {
	address, _, err := net.ParseCIDR(s.options.List("service-cidr")[0])
	if err != nil {
		fatalf("invalid service-cidr: %v", err)
	}
	_, network, _ := net.ParseCIDR(s.options.List("service-cidr")[0])
	bytes := network.IP.To4()
	if bytes == nil {
		bytes = network.IP.To16()
	}
	sum := new(big.Int).Add(new(big.Int).SetBytes(bytes), big.NewInt(n))
	result := make(net.IP, len(bytes))
	sum.FillBytes(result)
	debugf("address %d of %s is %s", n, address, result)
	return result.String()
}

func (s *Server) clusterDNS() string {
	return firstOf(append(s.options.List("cluster-dns"), s.serviceIP(10))...)
}

// start brings the server up to the point at which K3S tells systemd that it is ready.
func (s *Server) start(ctx context.Context) error {
	infof("Starting k3s %s (%s)", version, commit)
	join, err := s.prepare()
	if err != nil {
		return fmt.Errorf("preparing server: %w", err)
	}
	if err := s.serve(); err != nil {
		return err
	}
	if err := s.startNode(ctx, join); err != nil {
		return err
	}
	if err := s.startEtcd(ctx, join); err != nil {
		return err
	}
	if err := s.reconcileBootstrap(ctx); err != nil {
		return fmt.Errorf("preparing server: failed to bootstrap cluster data: failed to reconcile with local datastore: %w", err)
	}
	if err := s.startKubernetes(ctx); err != nil {
		return err
	}
	s.forgetReset()
	s.ready.Store(true)
	infof("k3s is up and running")
	if _, err := daemon.SdNotify(true, "READY=1\n"); err != nil {
		warningf("failed to notify systemd: %v", err)
	}
	s.startControllers(ctx)
	return nil
}

// prepare settles tokens, authorities and certificates. It returns the server joined, or nil.
func (s *Server) prepare() (*Remote, error) {
	token, err := serverSecret(s.options, s.paths)
	if err != nil {
		return nil, err
	}
	if token.Bootstrap != "" {
		return nil, errors.New("failed to normalize server token; must be in format K10<CA-HASH>::<USERNAME>:<PASSWORD> or <PASSWORD>")
	}
	s.secret = token.Secret
	join, err := s.bootstrap(token)
	if err != nil {
		return nil, fmt.Errorf("failed to bootstrap cluster data: %w", err)
	}
	if s.secret == "" {
		s.secret = randomHex(16)
	}
	if err := s.issueLeaves(); err != nil {
		return nil, fmt.Errorf("failed to generate server dependencies: %w", err)
	}
	if err := s.writeTokens(); err != nil {
		return nil, err
	}
	if err := s.writeKubeconfigs(); err != nil {
		return nil, err
	}
	if err := s.nameMember(false); err != nil {
		return nil, err
	}
	return join, s.connectAdmin()
}

// bootstrap makes or fetches the authorities. An etcd on disk wins over cluster-init and server.
func (s *Server) bootstrap(token Token) (*Remote, error) {
	url := s.options.String("server")
	if s.paths.etcdExists() {
		infof("Managed etcd cluster bootstrap already complete and initialized")
		if !exists(s.paths.tls("server-ca.crt")) {
			return nil, fmt.Errorf("missing %s directory from ${data-dir}", s.paths.tls())
		}
		return nil, nil
	}
	if url == "" {
		infof("Managed etcd cluster initializing")
		return nil, s.initialise()
	}
	if token.Secret == "" {
		return nil, errors.New("K3S_TOKEN is required to join a cluster")
	}
	remote, err := connect(url, token, serverUser)
	if err != nil {
		return nil, fmt.Errorf("failed to check if bootstrap data has been initialized: failed to validate token: %w", err)
	}
	infof("Managed etcd cluster not yet initialized")
	if err := s.validateCritical(remote); err != nil {
		return nil, fmt.Errorf("failed to validate server configuration: %w", err)
	}
	return remote, s.fetchBootstrap(remote)
}

func (s *Server) initialise() error {
	if err := createAuthorities(s.paths); err != nil {
		return err
	}
	return s.createEncryption()
}

func (s *Server) writeTokens() error {
	certificates, err := os.ReadFile(s.paths.tls("server-ca.crt"))
	if err != nil {
		return err
	}
	full := formatToken(certificates, serverUser+":"+s.secret)
	if err := writeFile(s.paths.server("token"), []byte(full+"\n"), 0o600); err != nil {
		return err
	}
	if err := link(s.paths.server("token"), s.paths.server("node-token")); err != nil {
		return err
	}
	if s.agentSecret == "" {
		return link(s.paths.server("token"), s.paths.server("agent-token"))
	}
	if err := os.RemoveAll(s.paths.server("agent-token")); err != nil {
		return err
	}
	agent := formatToken(certificates, nodeUser+":"+s.agentSecret)
	return writeFile(s.paths.server("agent-token"), []byte(agent+"\n"), 0o600)
}

func link(target, name string) error {
	if found, err := os.Readlink(name); err == nil && found == target {
		return nil
	}
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	return os.Symlink(target, name)
}

// shutDown hands etcd's leadership on and leaves; the kernel ends the children with this process.
func (s *Server) shutDown() {
	infof("Shutting down")
	s.stopping.Store(true)
	stopComponents()
	if client := s.etcdClient.Load(); client != nil {
		client.Close()
	}
	if s.etcd != nil {
		done := make(chan struct{})
		go func() { s.etcd.Close(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
		}
	}
	os.Exit(0)
}
