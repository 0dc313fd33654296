package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const localEtcd = "https://127.0.0.1:2379"

var errMemberList = errors.New("failed to get etcd MemberList from server")

// memberInfo is the answer of /db/info.
type memberInfo struct {
	Members []*etcdserverpb.Member `json:"members"`
}

func (s *Server) peerURL() string   { return "https://" + s.nodeIP + ":2380" }
func (s *Server) clientURL() string { return "https://" + s.nodeIP + ":2379" }

// startEtcd founds, resumes or joins, and returns when this member votes and answers.
func (s *Server) startEtcd(ctx context.Context, join *Remote) error {
	cluster, state := s.memberName+"="+s.peerURL(), embed.ClusterStateFlagNew
	if s.paths.etcdExists() {
		infof("Starting etcd for existing cluster member")
	} else if join != nil {
		joined, err := s.joinEtcd(ctx, join)
		if err != nil {
			return fmt.Errorf("etcd cluster join failed: %w", err)
		}
		cluster, state = joined, embed.ClusterStateFlagExisting
	}
	config, err := s.etcdConfig(cluster, state)
	if err != nil {
		return err
	}
	if s.etcd, err = embed.StartEtcd(config); err != nil {
		return fmt.Errorf("etcd failed to start: %w", err)
	}
	go s.watchEtcd()
	return s.awaitVoter(ctx)
}

// nameMember keeps the member's name across starts; a new database gets a new one.
func (s *Server) nameMember(fresh bool) error {
	file := s.paths.etcd("name")
	content, err := os.ReadFile(file)
	if err == nil && !fresh {
		s.memberName = string(content)
		return nil
	}
	s.memberName = s.nodeName + "-" + randomHex(4)
	return writeFile(file, []byte(s.memberName), 0o600)
}

func (s *Server) etcdConfig(cluster, state string) (*embed.Config, error) {
	config := embed.NewConfig()
	if err := applyEtcdArguments(config, append(slices.Clone(etcdDefaults), s.options.List("etcd-arg")...)); err != nil {
		return nil, err
	}
	config.Name, config.Dir = s.memberName, s.paths.etcd()
	config.ListenClientUrls = addresses(s.clientURL(), localEtcd)
	config.AdvertiseClientUrls = addresses(s.clientURL())
	config.ListenPeerUrls = addresses(s.peerURL())
	config.AdvertisePeerUrls = addresses(s.peerURL())
	config.ListenMetricsUrls = addresses("http://127.0.0.1:2381")
	if s.options.Bool("etcd-expose-metrics") {
		config.ListenMetricsUrls = append(config.ListenMetricsUrls, addresses("http://"+s.nodeIP+":2381")...)
	}
	config.InitialCluster, config.ClusterState = cluster, state
	config.ClientTLSInfo = s.etcdTLS("server-client", "server-ca")
	config.PeerTLSInfo = s.etcdTLS("peer-server-client", "peer-ca")
	config.EnableGRPCGateway = false
	return config, nil
}

func (s *Server) etcdTLS(certificate, authority string) transport.TLSInfo {
	return transport.TLSInfo{
		CertFile:       s.paths.tls("etcd", certificate+".crt"),
		KeyFile:        s.paths.tls("etcd", certificate+".key"),
		TrustedCAFile:  s.paths.tls("etcd", authority+".crt"),
		ClientCertAuth: true,
	}
}

// etcdDefaults come before etcd-arg: K3S's slow heartbeat halved, since tests wait for elections.
var etcdDefaults = []string{"heartbeat-interval=200", "election-timeout=2000", "log-level=error", "warning-unary-request-duration=500ms"}

// applyEtcdArguments must run first: declaring etcd's flags resets the fields behind them.
func applyEtcdArguments(config *embed.Config, arguments []string) error {
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	config.AddFlags(flags)
	for _, argument := range arguments {
		name, value, _ := strings.Cut(strings.TrimLeft(argument, "-"), "=")
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("invalid etcd-arg %s: %w", argument, err)
		}
	}
	return nil
}

func addresses(texts ...string) []url.URL {
	result := make([]url.URL, 0, len(texts))
	for _, text := range texts {
		parsed, err := url.Parse(text)
		if err != nil {
			fatalf("invalid address %s: %v", text, err)
		}
		result = append(result, *parsed)
	}
	return result
}

// watchEtcd ends this process when etcd stops, for instance because the member was removed.
func (s *Server) watchEtcd() {
	var failure error
	select {
	case <-s.etcd.Server.StopNotify():
	case failure = <-s.etcd.Err():
	}
	if s.stopping.Load() {
		return
	}
	select {
	case <-s.etcd.Server.StopNotify(): // a removed member's listeners fail first
		fatalf("etcd stopped - if this node was removed from the cluster, you must backup and delete %s before rejoining",
			s.paths.etcd())
	case <-time.After(2 * time.Second):
		fatalf("etcd exited: %v", failure)
	}
}

// awaitVoter waits for etcd to serve and for promotion from learner.
func (s *Server) awaitVoter(ctx context.Context) error {
	for said := time.Now(); ; {
		select {
		case <-s.etcd.Server.ReadyNotify():
			if !s.etcd.Server.IsLearner() {
				return s.openEtcdClient()
			}
		default:
		}
		if time.Since(said) > 5*time.Second {
			infof("Waiting for etcd server to become available")
			said = time.Now()
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, duration time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(duration):
		return nil
	}
}

func (s *Server) openEtcdClient() error {
	client, err := s.dialEtcd(localEtcd)
	if err != nil {
		return err
	}
	s.etcdClient.Store(client)
	return nil
}

func (s *Server) dialEtcd(endpoints ...string) (*clientv3.Client, error) {
	config, err := etcdClientTLS(s.paths)
	if err != nil {
		return nil, err
	}
	return newEtcdClient(config, endpoints...)
}

func etcdClientTLS(paths Paths) (*tls.Config, error) {
	return clientTLS(paths.tls("etcd", "server-ca.crt"), paths.tls("etcd", "client.crt"), paths.tls("etcd", "client.key"))
}

func newEtcdClient(config *tls.Config, endpoints ...string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{
		Endpoints:            endpoints,
		TLS:                  config,
		DialTimeout:          2 * time.Second,
		DialKeepAliveTime:    30 * time.Second,
		DialKeepAliveTimeout: 10 * time.Second,
		Logger:               zap.NewNop(),
	})
}

// joinEtcd adds this host as a learner, waiting for another learner's promotion as K3S does.
func (s *Server) joinEtcd(ctx context.Context, remote *Remote) (string, error) {
	for {
		cluster, err := s.addMember(ctx, remote)
		switch {
		case err == nil:
			infof("Starting etcd for cluster %s", cluster)
			return cluster, nil
		case errors.Is(err, rpctypes.ErrTooManyLearners), errors.Is(err, rpctypes.ErrUnhealthy):
			infof("Waiting for other members to finish joining etcd cluster: %v", err)
		case errors.Is(err, errMemberList):
			infof("Waiting to retrieve etcd cluster member list: %v", err)
		default:
			return "", err
		}
		if err := pause(ctx, time.Second); err != nil {
			return "", err
		}
	}
}

func (s *Server) addMember(ctx context.Context, remote *Remote) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	info := memberInfo{}
	if err := remote.getJSON("/db/info", &info); err != nil {
		return "", fmt.Errorf("%w: %w", errMemberList, err)
	}
	client, err := s.dialEtcd(votersOf(info.Members)...)
	if err != nil {
		return "", err
	}
	defer client.Close()
	list, err := client.MemberList(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errMemberList, err)
	}
	cluster, known, err := s.examineMembers(list.Members)
	if err != nil || known {
		return strings.Join(cluster, ","), err
	}
	infof("Adding member %s=%s to etcd cluster %v", s.memberName, s.peerURL(), cluster)
	if _, err := client.MemberAddAsLearner(ctx, []string{s.peerURL()}); err != nil {
		return "", err
	}
	return strings.Join(append(cluster, s.memberName+"="+s.peerURL()), ","), nil
}

func votersOf(members []*etcdserverpb.Member) []string {
	endpoints := []string{}
	for _, member := range members {
		if !member.IsLearner {
			endpoints = append(endpoints, member.ClientURLs...)
		}
	}
	return endpoints
}

// examineMembers lists the cluster, tells whether this host is in it, and refuses a name taken twice.
func (s *Server) examineMembers(members []*etcdserverpb.Member) (cluster []string, known bool, err error) {
	for _, member := range members {
		if len(member.PeerURLs) == 0 {
			continue
		}
		name := member.Name
		if name == "" && member.PeerURLs[0] == s.peerURL() {
			name = s.memberName // added by us earlier, never started
		}
		if name == s.memberName && member.PeerURLs[0] == s.peerURL() {
			known = true
		}
		if name != s.memberName && nodeOfMember(name) == s.nodeName {
			os.Remove(s.paths.etcd("name"))
			return nil, false, errors.New("duplicate node name found, please use a unique name for this node")
		}
		cluster = append(cluster, name+"="+member.PeerURLs[0])
	}
	return cluster, known, nil
}

// nodeOfMember takes the random part off a member's name.
func nodeOfMember(member string) string {
	if hyphen := strings.LastIndex(member, "-"); hyphen > 1 {
		return member[:hyphen]
	}
	return member
}
