package main

import (
	"errors"
	"os"
	"path/filepath"
)

// Paths names the files of one installation.
type Paths struct {
	data string // the data directory, /var/lib/rancher/k3s
	etc  string // /etc/rancher
}

func pathsOf(options *Options) Paths {
	etc := os.Getenv("K3S_RIG_ETC") // several servers on one machine, in tests of this program only
	if etc == "" {
		etc = "/etc/rancher"
	}
	return Paths{data: options.String("data-dir"), etc: etc}
}

func (p Paths) server(parts ...string) string {
	return filepath.Join(append([]string{p.data, "server"}, parts...)...)
}

func (p Paths) tls(parts ...string) string {
	return filepath.Join(append([]string{p.data, "server", "tls"}, parts...)...)
}

func (p Paths) agent(parts ...string) string {
	return filepath.Join(append([]string{p.data, "agent"}, parts...)...)
}

func (p Paths) etcd(parts ...string) string {
	return filepath.Join(append([]string{p.data, "server", "db", "etcd"}, parts...)...)
}

// etcdExists tells whether etcd has run here before; then cluster-init and server are ignored.
func (p Paths) etcdExists() bool {
	info, err := os.Stat(p.etcd("member", "wal"))
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, os.ErrNotExist)
}

// writeFile replaces a file at once, so that a crash leaves the old or the new one.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, mode); err != nil {
		return err
	}
	if err := os.Chmod(temporary, mode); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
