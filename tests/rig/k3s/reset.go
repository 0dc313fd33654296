package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

func (s *Server) resetFlag() string { return s.paths.server("db", "reset-flag") }

// forgetReset lets a later reset happen, now that this server has started normally.
func (s *Server) forgetReset() {
	if err := os.Remove(s.resetFlag()); err != nil && !os.IsNotExist(err) {
		warningf("failed to remove %s: %v", s.resetFlag(), err)
	}
}

// resetCluster makes this host the only member, with its own data or a snapshot's, and ends.
func (s *Server) resetCluster() error {
	if err := s.mayReset(); err != nil {
		return err
	}
	if path := s.options.String("cluster-reset-restore-path"); path != "" {
		if err := s.restore(path); err != nil {
			return err
		}
	} else if !s.paths.etcdExists() {
		return errors.New("cluster-reset needs an etcd datastore on this host, or --cluster-reset-restore-path")
	} else if err := s.nameMember(true); err != nil {
		return err
	}
	token, err := serverSecret(s.options, s.paths)
	if err != nil {
		return err
	}
	if token.Secret == "" {
		return errors.New("K3S_TOKEN is required: give the token the cluster had when the snapshot was taken")
	}
	s.secret = token.Secret
	if err := s.becomeSoleMember(); err != nil {
		return fmt.Errorf("preparing server: failed to bootstrap cluster data: failed to reconcile with local datastore: %w", err)
	}
	if err := s.writeTokens(); err != nil {
		return err
	}
	if err := os.WriteFile(s.resetFlag(), nil, 0o600); err != nil {
		return err
	}
	infof("Managed etcd cluster membership has been reset, restart without --cluster-reset flag now. " +
		"Backup and delete ${datadir}/server/db on each peer etcd server and rejoin the nodes")
	return nil
}

func (s *Server) mayReset() error {
	if s.options.String("server") != "" {
		return errors.New("cannot perform cluster-reset while server URL is set - remove server from configuration before resetting")
	}
	if exists(s.resetFlag()) {
		return fmt.Errorf("Managed etcd cluster membership was previously reset, please remove the cluster-reset flag and start k3s normally. "+ //nolint:staticcheck // K3S's words
			"If you need to perform another cluster reset, you must first manually delete the file at %s", s.resetFlag())
	}
	listener, err := net.Listen("tcp", "127.0.0.1:2379")
	if err != nil {
		return fmt.Errorf("cluster-reset needs this host's k3s to be stopped: %w", err)
	}
	return listener.Close()
}

// locate gives the path of the snapshot to restore, from S3 if that is on.
func (s *Server) locate(path string) (string, error) {
	store, err := snapshotsOf(s.options, s.paths, s.nodeName)
	if err != nil {
		return "", err
	}
	if store.bucket != nil {
		return store.bucket.download(path, store.directory)
	}
	if !strings.Contains(path, "/") {
		path = filepath.Join(store.directory, path)
	}
	return path, nil
}

// restore puts a snapshot's data in the place of this host's.
func (s *Server) restore(path string) error {
	path, err := s.locate(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("etcd: snapshot path does not exist: %s", path)
	}
	if info.IsDir() {
		return fmt.Errorf("etcd: snapshot path must be a file, not a directory: %s", path)
	}
	if strings.HasSuffix(path, ".zip") {
		if path, err = decompressFile(path); err != nil {
			return err
		}
	}
	if exists(s.paths.etcd()) {
		old := s.paths.server("db", fmt.Sprintf("etcd-old-%d", time.Now().Unix()))
		infof("Pre-restore etcd database moved to %s", old)
		if err := os.Rename(s.paths.etcd(), old); err != nil {
			return err
		}
	}
	name := s.nodeName + "-" + randomHex(4)
	err = snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath: path, Name: name, OutputDataDir: s.paths.etcd(), OutputWALDir: s.paths.etcd("member", "wal"),
		PeerURLs: []string{s.peerURL()}, InitialCluster: name + "=" + s.peerURL(), InitialClusterToken: "etcd-cluster",
	})
	if err != nil {
		return fmt.Errorf("failed to restore from snapshot %s: %w", path, err)
	}
	s.memberName = name
	return writeFile(s.paths.etcd("name"), []byte(name), 0o600)
}

// becomeSoleMember runs etcd alone on loopback, corrects the membership, and takes the authorities out.
func (s *Server) becomeSoleMember() error {
	config := embed.NewConfig()
	config.Name, config.Dir = s.memberName, s.paths.etcd()
	config.ListenClientUrls = addresses("http://127.0.0.1:2379")
	config.AdvertiseClientUrls = addresses(s.clientURL())
	config.ListenPeerUrls = addresses("http://127.0.0.1:2380")
	config.AdvertisePeerUrls = addresses(s.peerURL())
	config.InitialCluster = s.memberName + "=" + s.peerURL()
	config.ForceNewCluster = true
	config.LogLevel = "panic"
	config.EnableGRPCGateway = false
	running, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer running.Close()
	select {
	case <-running.Server.ReadyNotify():
	case err := <-running.Err():
		return err
	case <-time.After(time.Minute):
		return errors.New("etcd did not become ready within a minute")
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://127.0.0.1:2379"}, Logger: zap.NewNop()})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data, err := readBootstrap(ctx, client, s.secret)
	if err != nil {
		return err
	}
	if _, err := client.MemberUpdate(ctx, uint64(running.Server.MemberID()), []string{s.peerURL()}); err != nil {
		return err
	}
	return s.unpackBootstrap(data)
}
