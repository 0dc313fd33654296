package main

import (
	"net"
	"os"
	"slices"
	"time"
)

type authorityFiles struct{ name, certificate, key string }

func authoritiesOf(paths Paths) []authorityFiles {
	return []authorityFiles{
		{"k3s-server-ca", paths.tls("server-ca.crt"), paths.tls("server-ca.key")},
		{"k3s-client-ca", paths.tls("client-ca.crt"), paths.tls("client-ca.key")},
		{"k3s-request-header-ca", paths.tls("request-header-ca.crt"), paths.tls("request-header-ca.key")},
		{"etcd-server-ca", paths.tls("etcd", "server-ca.crt"), paths.tls("etcd", "server-ca.key")},
		{"etcd-peer-ca", paths.tls("etcd", "peer-ca.crt"), paths.tls("etcd", "peer-ca.key")},
	}
}

// createAuthorities makes what a new cluster's first server has to invent.
func createAuthorities(paths Paths) error {
	for _, files := range authoritiesOf(paths) {
		if err := createAuthority(files.name, files.certificate, files.key); err != nil {
			return err
		}
	}
	if exists(paths.tls("service.key")) {
		return nil
	}
	_, key, err := newKey()
	if err != nil {
		return err
	}
	if err := writeFile(paths.tls("service.key"), key, 0o600); err != nil {
		return err
	}
	return writeFile(paths.tls("service.current.key"), key, 0o600)
}

// leaf is one certificate of a server; service is its name for `k3s certificate`.
type leaf struct {
	service   string
	authority string // file name below tls without extension
	file      string // likewise
	who       identity
}

func (s *Server) leaves() []leaf {
	admin := []string{"system:masters"}
	hosts := s.servingHosts()
	etcdHosts := []string{"localhost", "127.0.0.1", "::1", s.nodeIP, s.nodeName}
	return []leaf{
		{"admin", "client-ca", "client-admin", identity{"system:admin", admin, nil}},
		{"controller-manager", "client-ca", "client-controller", identity{"system:kube-controller-manager", nil, nil}},
		{"scheduler", "client-ca", "client-scheduler", identity{"system:kube-scheduler", nil, nil}},
		{"api-server", "client-ca", "client-kube-apiserver", identity{"system:apiserver", admin, nil}},
		{"supervisor", "client-ca", "client-supervisor", identity{"system:k3s-supervisor", admin, nil}},
		{"auth-proxy", "request-header-ca", "client-auth-proxy", identity{"system:auth-proxy", nil, nil}},
		{"api-server", "server-ca", "serving-kube-apiserver", identity{"kube-apiserver", nil, hosts}},
		{"supervisor", "server-ca", "serving-supervisor", identity{"k3s", nil, hosts}},
		{"etcd", "etcd/server-ca", "etcd/client", identity{"etcd-client", nil, nil}},
		{"etcd", "etcd/server-ca", "etcd/server-client", identity{"etcd-server", nil, etcdHosts}},
		{"etcd", "etcd/peer-ca", "etcd/peer-server-client", identity{"etcd-peer", nil, etcdHosts}},
	}
}

// servingHosts are the names port 6443 answers to.
func (s *Server) servingHosts() []string {
	hosts := []string{
		"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		"kubernetes.default.svc." + s.options.String("cluster-domain"),
		"localhost", "127.0.0.1", "::1", s.nodeName, s.nodeIP, s.advertise, s.serviceIP(1),
	}
	if name, err := os.Hostname(); err == nil {
		hosts = append(hosts, name)
	}
	hosts = append(hosts, s.options.List("node-external-ip")...)
	hosts = append(hosts, s.options.List("tls-san")...)
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// issueLeaves renews what is missing, near its end, of another authority or of other names.
func (s *Server) issueLeaves() error {
	for _, wanted := range s.leaves() {
		certificate, key := s.paths.tls(wanted.file+".crt"), s.paths.tls(wanted.file+".key")
		authority, err := loadAuthority(s.paths.tls(wanted.authority+".crt"), s.paths.tls(wanted.authority+".key"))
		if err != nil {
			return err
		}
		if exists(key) && leafIsGood(certificate, authority, wanted.who) {
			continue
		}
		if err := authority.issue(wanted.who, certificate, key); err != nil {
			return err
		}
	}
	return nil
}

func leafIsGood(file string, authority *Authority, who identity) bool {
	found, err := loadCertificate(file)
	if err != nil || found.CheckSignatureFrom(authority.certificate) != nil {
		return false
	}
	if time.Until(found.NotAfter) < renewBefore {
		return false
	}
	names := slices.Clone(found.DNSNames)
	for _, address := range found.IPAddresses {
		names = append(names, address.String())
	}
	return slices.Equal(sortedHosts(names), sortedHosts(who.hosts))
}

func sortedHosts(hosts []string) []string {
	result := []string{}
	for _, host := range hosts {
		if address := net.ParseIP(host); address != nil {
			host = address.String()
		}
		if host != "" {
			result = append(result, host)
		}
	}
	slices.Sort(result)
	return slices.Compact(result)
}
