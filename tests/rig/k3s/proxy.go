package main

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
)

// apiProxy hands requests to kube-apiserver. A verified client certificate becomes request headers,
// which kube-apiserver believes because they come over the front proxy's own certificate.
type apiProxy struct {
	trusted   *transports // with the front proxy's certificate
	anonymous *transports // without: bearer tokens speak for themselves
	target    *url.URL
}

// transports keeps HTTP/1.1 apart, because only it can switch protocols for exec and port-forward.
type transports struct{ plain, upgrading http.RoundTripper }

func (t *transports) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Upgrade") != "" {
		return t.upgrading.RoundTrip(r)
	}
	return t.plain.RoundTrip(r)
}

func (s *Server) apiURL() string { return "https://127.0.0.1:" + itoa(s.port+1) }

func (s *Server) newProxy() (http.Handler, error) {
	target, err := url.Parse(s.apiURL())
	if err != nil {
		return nil, err
	}
	trusted, err := clientTLS(s.paths.tls("server-ca.crt"), s.paths.tls("client-auth-proxy.crt"), s.paths.tls("client-auth-proxy.key"))
	if err != nil {
		return nil, err
	}
	anonymous := trusted.Clone()
	anonymous.Certificates = nil
	return &apiProxy{trusted: newTransports(trusted), anonymous: newTransports(anonymous), target: target}, nil
}

func newTransports(config *tls.Config) *transports {
	plain := utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: config, IdleConnTimeout: 90 * time.Second})
	upgrading := &http.Transport{TLSClientConfig: config.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	return &transports{plain: plain, upgrading: upgrading}
}

func (p *apiProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	transport := p.anonymous
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		transport = p.trusted
	}
	proxy := &httputil.ReverseProxy{
		Rewrite:       p.rewrite,
		Transport:     transport,
		FlushInterval: -1, // watches send single events
		ErrorLog:      quietLogger(),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			debugf("the API did not answer: %v", err)
			http.Error(w, "apiserver not ready", http.StatusServiceUnavailable)
		},
	}
	proxy.ServeHTTP(w, r)
}

func (p *apiProxy) rewrite(r *httputil.ProxyRequest) {
	r.SetURL(p.target)
	r.SetXForwarded()
	for name := range r.Out.Header {
		if strings.HasPrefix(name, "X-Remote-") {
			r.Out.Header.Del(name) // nobody outside may name a user
		}
	}
	if r.In.TLS == nil || len(r.In.TLS.VerifiedChains) == 0 {
		return
	}
	subject := r.In.TLS.PeerCertificates[0].Subject
	r.Out.Header.Set("X-Remote-User", subject.CommonName)
	for _, group := range subject.Organization {
		r.Out.Header.Add("X-Remote-Group", group)
	}
	r.Out.Header.Del("Authorization")
}

// whenStarted answers in K3S's words until there is an API to ask.
func (s *Server) whenStarted(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.etcdClient.Load() == nil {
			http.Error(w, "apiserver not ready", http.StatusServiceUnavailable)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// quietLogger drops what net/http says about clients that hang up.
func quietLogger() *log.Logger { return log.New(io.Discard, "", 0) }
