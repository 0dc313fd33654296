package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const requestTimeout = 10 * time.Second

// Remote is a server's supervisor as a joining host sees it.
type Remote struct {
	base   string
	caPEM  []byte
	user   string
	secret string
	bearer string
	client *http.Client
}

// statusError is an answer other than 2xx.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string { return e.message }

// connect fetches a server's authority and proves it against the hash in the token, if it has one.
func connect(server string, token Token, user string) (*Remote, error) {
	parsed, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("Invalid server url, failed to parse: %s: %w", server, err) //nolint:staticcheck // K3S's words
	}
	if parsed.Scheme != "https" {
		return nil, errors.New("only https:// URLs are supported, invalid scheme: " + server)
	}
	remote := &Remote{base: strings.TrimRight(parsed.String(), "/"), user: user, secret: token.Secret, bearer: token.Bootstrap}
	if token.User != "" && user != serverUser {
		remote.user = token.User
	}
	if err := remote.fetchAuthority(); err != nil {
		return nil, err
	}
	if token.CAHash == "" {
		warningf("Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. " +
			"Use the full token from the server's node-token file to enable Cluster CA validation.")
		return remote, nil
	}
	if found := caHash(remote.caPEM); found != token.CAHash {
		return nil, fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", token.CAHash, found)
	}
	return remote, nil
}

func (r *Remote) fetchAuthority() error {
	unverified := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // the hash is compared next
		DisableKeepAlives: true,
	}}
	r.client = unverified
	content, err := r.get("/cacerts")
	if err != nil {
		return fmt.Errorf("failed to get CA certs: %w", err)
	}
	r.caPEM = content
	if r.client, err = verifiedClient(content, nil); err != nil {
		return err
	}
	if _, err := r.get("/cacerts"); err != nil {
		return fmt.Errorf("CA cert validation failed: %w", err)
	}
	return nil
}

func verifiedClient(caPEM []byte, certificate *tls.Certificate) (*http.Client, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(caPEM) {
		return nil, errors.New("the server's answer to /cacerts holds no certificate")
	}
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if certificate != nil {
		config.Certificates = []tls.Certificate{*certificate}
	}
	return &http.Client{Timeout: requestTimeout, Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}, nil
}

func (r *Remote) get(path string) ([]byte, error) {
	return r.do(http.MethodGet, path, nil, nil)
}

func (r *Remote) getJSON(path string, into any) error {
	content, err := r.get(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, into)
}

func (r *Remote) do(method, path string, body []byte, headers map[string]string) ([]byte, error) {
	request, err := http.NewRequest(method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	if path != "/cacerts" {
		r.authenticate(request)
	}
	response, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, r.failure(response, path, content)
	}
	return content, nil
}

func (r *Remote) failure(response *http.Response, path string, content []byte) error {
	message := strings.TrimSpace(string(content))
	if response.StatusCode != http.StatusForbidden && response.StatusCode != http.StatusServiceUnavailable {
		message = fmt.Sprintf("%s%s: %s", r.base, path, response.Status)
	}
	return &statusError{code: response.StatusCode, message: message}
}

func (r *Remote) authenticate(request *http.Request) {
	switch {
	case r.bearer != "":
		request.Header.Set("Authorization", "Bearer "+r.bearer)
	case r.secret != "":
		request.SetBasicAuth(r.user, r.secret)
	}
}

// fetchBootstrap takes over the cluster's authorities and keys.
func (s *Server) fetchBootstrap(remote *Remote) error {
	content, err := remote.get("/v1-k3s/server-bootstrap")
	if err != nil {
		return err
	}
	return s.unpackBootstrap(content)
}
