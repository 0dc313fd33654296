package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/robfig/cron/v3"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
)

// snapshots is the folder of one host's snapshots, named <name>-<node>-<seconds since 1970>.
type snapshots struct {
	paths     Paths
	directory string
	node      string
	compress  bool
	bucket    *bucket // nil without S3
}

func snapshotsOf(options *Options, paths Paths, node string) (snapshots, error) {
	directory := firstOf(options.String("etcd-snapshot-dir"), paths.server("db", "snapshots"))
	bucket, err := bucketOf(options)
	return snapshots{paths, directory, node, options.Bool("etcd-snapshot-compress"), bucket}, err
}

func (s snapshots) save(ctx context.Context, name string) (string, error) {
	tls, err := etcdClientTLS(s.paths)
	if err != nil {
		return "", fmt.Errorf("this host runs no server: %w", err)
	}
	if err := os.MkdirAll(s.directory, 0o700); err != nil {
		return "", err
	}
	file := fmt.Sprintf("%s-%s-%d", name, s.node, time.Now().Unix())
	path := filepath.Join(s.directory, file)
	config := clientv3.Config{Endpoints: []string{localEtcd}, TLS: tls, DialTimeout: 5 * time.Second, Logger: zap.NewNop()}
	if _, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), config, path); err != nil {
		return "", fmt.Errorf("failed to save snapshot: %w", err)
	}
	if s.compress {
		if err := compressFile(path); err != nil {
			return "", err
		}
		file += ".zip"
	}
	infof("Snapshot %s saved.", file)
	if s.bucket == nil {
		return file, nil
	}
	if err := s.bucket.upload(filepath.Join(s.directory, file)); err != nil {
		return "", fmt.Errorf("failed to upload snapshot: %w", err)
	}
	infof("Snapshot %s saved.", file)
	return file, nil
}

func compressFile(path string) error {
	source, err := os.Open(path)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(path+".zip", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer target.Close()
	writer := zip.NewWriter(target)
	entry, err := writer.Create(filepath.Base(path))
	if err == nil {
		_, err = io.Copy(entry, source)
	}
	if err = errors.Join(err, writer.Close()); err != nil {
		return err
	}
	return os.Remove(path)
}

// decompressFile unpacks a snapshot beside its archive and gives the path of the plain file.
func decompressFile(path string) (string, error) {
	reader, err := zip.OpenReader(path)
	if err != nil {
		return "", err
	}
	defer reader.Close()
	if len(reader.File) != 1 {
		return "", fmt.Errorf("%s should hold one file, not %d", path, len(reader.File))
	}
	source, err := reader.File[0].Open()
	if err != nil {
		return "", err
	}
	defer source.Close()
	plain := strings.TrimSuffix(path, ".zip")
	target, err := os.OpenFile(plain, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(target, source)
	return plain, errors.Join(err, target.Close())
}

// names lists the snapshots, oldest first.
func (s snapshots) names(prefix string) ([]os.FileInfo, error) {
	entries, err := os.ReadDir(s.directory)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := []os.FileInfo{}
	for _, entry := range entries {
		info, err := entry.Info()
		if err == nil && !info.IsDir() && strings.HasPrefix(info.Name(), prefix) && !strings.HasSuffix(info.Name(), ".part") {
			found = append(found, info)
		}
	}
	slices.SortFunc(found, func(a, b os.FileInfo) int { return a.ModTime().Compare(b.ModTime()) })
	return found, nil
}

// prune keeps the newest ones.
func (s snapshots) prune(prefix string, keep int) error {
	found, err := s.names(prefix + "-" + s.node)
	if err != nil || keep < 1 {
		return err
	}
	for len(found) > keep {
		infof("Removing local snapshot %s", found[0].Name())
		if err := os.Remove(filepath.Join(s.directory, found[0].Name())); err != nil {
			return err
		}
		found = found[1:]
	}
	return nil
}

func (s snapshots) list() error {
	found, err := s.names("")
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(table, "Name\tLocation\tSize\tCreated")
	for _, info := range found {
		fmt.Fprintf(table, "%s\tfile://%s\t%d\t%s\n", info.Name(), filepath.Join(s.directory, info.Name()), info.Size(),
			info.ModTime().UTC().Format(time.RFC3339))
	}
	if s.bucket != nil {
		objects, err := s.bucket.list()
		if err != nil {
			return err
		}
		for _, object := range objects {
			_, bucket, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(s.bucket.base, "https://"), "http://"), "/")
			fmt.Fprintf(table, "%s\ts3://%s/%s\t%d\t%s\n", filepath.Base(object.Key), bucket, object.Key, object.Size,
				object.LastModified.UTC().Format(time.RFC3339))
		}
	}
	return table.Flush()
}

func (s snapshots) remove(names []string) error {
	for _, name := range names {
		err := os.Remove(filepath.Join(s.directory, filepath.Base(name)))
		if s.bucket != nil && (err == nil || os.IsNotExist(err)) {
			err = s.bucket.remove(name)
		}
		if err != nil {
			return fmt.Errorf("failed to delete snapshot %s: %w", name, err)
		}
		infof("Snapshot %s deleted.", name)
	}
	return nil
}

func runSnapshot(arguments []string) error {
	options, err := parseOptions("etcd-snapshot", arguments)
	if err != nil {
		return err
	}
	paths := pathsOf(options)
	node, err := snapshotNode(options, paths)
	if err != nil {
		return err
	}
	store, err := snapshotsOf(options, paths, node)
	if err != nil {
		return err
	}
	switch firstOf(options.Rest...) {
	case "save", "":
		_, err = store.save(context.Background(), options.String("name"))
		return err
	case "ls", "list", "l":
		return store.list()
	case "delete":
		return store.remove(options.Rest[1:])
	case "prune":
		return store.prune(options.String("name"), options.Int("etcd-snapshot-retention"))
	default:
		return fmt.Errorf("no help topic for %q", options.Rest[0])
	}
}

// snapshotNode is the node's name as the server of this host has it.
func snapshotNode(options *Options, paths Paths) (string, error) {
	if content, err := os.ReadFile(paths.etcd("name")); err == nil {
		return nodeOfMember(string(content)), nil
	}
	if name := options.String("node-name"); name != "" {
		return name, nil
	}
	return os.Hostname()
}

func (s *Server) scheduleSnapshots(ctx context.Context) {
	if s.options.Bool("etcd-disable-snapshots") {
		return
	}
	store, err := snapshotsOf(s.options, s.paths, s.nodeName)
	if err != nil {
		errorf("snapshots are not scheduled: %v", err)
		return
	}
	name := s.options.String("etcd-snapshot-name")
	schedule := cron.New()
	_, err = schedule.AddFunc(s.options.String("etcd-snapshot-schedule-cron"), func() {
		if _, err := store.save(ctx, name); err != nil {
			errorf("Failed to take scheduled snapshot: %v", err)
			return
		}
		if err := store.prune(name, s.options.Int("etcd-snapshot-retention")); err != nil {
			errorf("Failed to apply snapshot retention: %v", err)
		}
	})
	if err != nil {
		errorf("invalid etcd-snapshot-schedule-cron: %v", err)
		return
	}
	schedule.Start()
	<-ctx.Done()
	schedule.Stop()
}
