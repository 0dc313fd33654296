package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// serve opens port 6443: K3S's own paths, and the Kubernetes API behind all others.
func (s *Server) serve() error {
	config, err := s.servingTLS()
	if err != nil {
		return err
	}
	proxy, err := s.newProxy()
	if err != nil {
		return err
	}
	address := net.JoinHostPort(firstOf(s.options.String("bind-address"), "0.0.0.0"), strconv.Itoa(s.port))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("failed to listen on %s: %w", address, err)
	}
	server := &http.Server{
		Handler:           s.routes(proxy),
		TLSConfig:         config,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          quietLogger(),
	}
	go func() { fatalf("the supervisor stopped: %v", server.ServeTLS(listener, "", "")) }()
	return nil
}

func (s *Server) servingTLS() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(s.paths.tls("serving-supervisor.crt"), s.paths.tls("serving-supervisor.key"))
	if err != nil {
		return nil, err
	}
	pool, err := poolOf(s.paths.tls("client-ca.crt"))
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{pair},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    pool,
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"h2", "http/1.1"},
	}, nil
}

func (s *Server) routes(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.whenStarted(api))
	mux.HandleFunc("GET /cacerts", s.serveAuthority)
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { writeText(w, "pong") })
	mux.HandleFunc("GET /v1-k3s/readyz", s.allow(nodeUser, s.serveReadiness))
	mux.HandleFunc("GET /v1-k3s/server-bootstrap", s.allow(serverUser, s.serveBootstrap))
	mux.HandleFunc("GET /v1-k3s/config", s.allow(nodeUser, s.serveConfig))
	mux.HandleFunc("GET /v1-k3s/apiservers", s.allow(nodeUser, s.serveServers))
	mux.HandleFunc("POST /v1-k3s/client-kubelet.crt", s.allow(nodeUser, s.serveNodeCertificate))
	mux.HandleFunc("POST /v1-k3s/client-kube-proxy.crt", s.allow(nodeUser, s.serveProxyCertificate))
	mux.HandleFunc("GET /v1-k3s/client-ca.crt", s.allow(nodeUser, s.serveFile("client-ca.crt")))
	mux.HandleFunc("GET /v1-k3s/server-ca.crt", s.allow(nodeUser, s.serveFile("server-ca.crt")))
	mux.HandleFunc("PUT /v1-k3s/token", s.allow(serverUser, s.serveTokenRotation))
	mux.HandleFunc("GET /v1-k3s/encrypt/status", s.allow(serverUser, s.serveEncryptionStatus))
	mux.HandleFunc("GET /db/info", s.allowLocal(serverUser, s.serveMembers))
	mux.HandleFunc("/v1-k3s/", http.NotFound)
	return mux
}

// allow lets only those in who hold a server's or a node's credentials.
func (s *Server) allow(role string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		granted := s.roleOf(r)
		if granted == serverUser || granted == role {
			next(w, r)
			return
		}
		http.Error(w, "Unauthorized", http.StatusUnauthorized)
	}
}

// allowLocal lets everybody in who asks from this host, and others as allow does.
func (s *Server) allowLocal(role string, next http.HandlerFunc) http.HandlerFunc {
	others := s.allow(role, next)
	return func(w http.ResponseWriter, r *http.Request) {
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil && net.ParseIP(host).IsLoopback() {
			next(w, r)
			return
		}
		others(w, r)
	}
}

func (s *Server) serveAuthority(w http.ResponseWriter, _ *http.Request) {
	s.serveFile("server-ca.crt")(w, nil)
}

func (s *Server) serveFile(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := os.ReadFile(s.paths.tls(name))
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		writeText(w, string(content))
	}
}

func (s *Server) serveReadiness(w http.ResponseWriter, _ *http.Request) {
	if !s.ready.Load() {
		http.Error(w, "runtime core not ready", http.StatusServiceUnavailable)
		return
	}
	writeText(w, "ok")
}

func (s *Server) serveBootstrap(w http.ResponseWriter, _ *http.Request) {
	if s.etcdClient.Load() == nil {
		http.Error(w, "runtime core not ready", http.StatusServiceUnavailable)
		return
	}
	content, err := s.collectBootstrap()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(content)
}

func (s *Server) serveConfig(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, clusterConfig{Critical: s.criticalValues(), Version: version})
}

// serveServers lists the API's addresses, from which agents choose when the joined server is gone.
func (s *Server) serveServers(w http.ResponseWriter, _ *http.Request) {
	addresses := []string{net.JoinHostPort(s.advertise, strconv.Itoa(s.port))}
	if known := s.servers.Load(); known != nil && len(*known) > 0 {
		addresses = *known
	}
	writeJSON(w, addresses)
}

func (s *Server) serveMembers(w http.ResponseWriter, r *http.Request) {
	err := errors.New("etcd has not started")
	if client := s.etcdClient.Load(); client != nil {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		var list *clientv3.MemberListResponse
		if list, err = client.MemberList(ctx); err == nil {
			writeJSON(w, memberInfo{Members: list.Members})
			return
		}
	}
	http.Error(w, "failed to get etcd MemberList: "+err.Error(), http.StatusInternalServerError)
}

// serveNodeCertificate issues a node's certificate after its password was compared.
func (s *Server) serveNodeCertificate(w http.ResponseWriter, r *http.Request) {
	name, password := r.Header.Get("k3s-Node-Name"), r.Header.Get("k3s-Node-Password")
	if name == "" || password == "" {
		http.Error(w, "node name and password are needed", http.StatusBadRequest)
		return
	}
	if !s.ready.Load() {
		http.Error(w, "runtime core not ready", http.StatusServiceUnavailable)
		return
	}
	if err := s.checkNodePassword(r.Context(), name, password); err != nil {
		s.refuseNode(w, name, err)
		return
	}
	s.serveSigned(w, r, identity{name: "system:node:" + strings.ToLower(name), groups: []string{"system:nodes"}})
}

// serveProxyCertificate issues the certificate of a node's kube-proxy, which is the same user on each.
func (s *Server) serveProxyCertificate(w http.ResponseWriter, r *http.Request) {
	s.serveSigned(w, r, identity{name: "system:kube-proxy"})
}

func (s *Server) serveSigned(w http.ResponseWriter, r *http.Request, who identity) {
	certificate, err := s.signClient(who, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeText(w, string(certificate))
}

func (s *Server) refuseNode(w http.ResponseWriter, name string, err error) {
	if !errors.Is(err, errPassword) {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	errorf("unable to verify password for node %s: %v", name, err)
	http.Error(w, passwordRejected, http.StatusForbidden)
}

func (s *Server) signClient(who identity, body io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(body, 1<<16))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, errors.New("a public key in PEM is needed")
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	authority, err := loadAuthority(s.paths.tls("client-ca.crt"), s.paths.tls("client-ca.key"))
	if err != nil {
		return nil, err
	}
	return authority.sign(who, public)
}

func writeText(w http.ResponseWriter, content string) {
	w.Header().Set("Content-Type", "text/plain")
	io.WriteString(w, content)
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(value)
}
