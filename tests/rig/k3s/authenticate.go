package main

import (
	"context"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// roleOf tells who asks: "server", "node" or "". A server may do what a node may.
func (s *Server) roleOf(r *http.Request) string {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		groups := r.TLS.PeerCertificates[0].Subject.Organization
		if slices.Contains(groups, "system:masters") {
			return serverUser
		}
		if slices.Contains(groups, "system:nodes") {
			return nodeUser
		}
	}
	if bearer, present := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); present {
		if s.bootstrapTokenIsGood(r.Context(), bearer) {
			return nodeUser
		}
		return ""
	}
	user, secret, present := r.BasicAuth()
	if !present {
		return ""
	}
	return s.roleOfSecret(r.Context(), user, secret)
}

func (s *Server) roleOfSecret(ctx context.Context, user, secret string) string {
	if user == serverUser || user == nodeUser {
		if s.secretIsGood(ctx, secret) {
			return user
		}
	}
	if s.agentSecret != "" && user == nodeUser && subtle.ConstantTimeCompare([]byte(secret), []byte(s.agentSecret)) == 1 {
		return nodeUser
	}
	return ""
}

// secretIsGood asks the datastore, where `k3s token rotate` on another server leaves the new secret.
func (s *Server) secretIsGood(ctx context.Context, secret string) bool {
	client := s.etcdClient.Load()
	if client == nil {
		return subtle.ConstantTimeCompare([]byte(secret), []byte(s.secret)) == 1
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	response, err := client.Get(ctx, bootstrapKey(secret))
	if err != nil || len(response.Kvs) == 0 {
		return false
	}
	_, err = decrypt(secret, response.Kvs[0].Value)
	return err == nil
}

// bootstrapTokenIsGood checks a token of `k3s token create` against its Secret.
func (s *Server) bootstrapTokenIsGood(ctx context.Context, token string) bool {
	parts := bootstrapToken.FindStringSubmatch(token)
	if parts == nil || !s.ready.Load() {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	found, err := s.admin.CoreV1().Secrets(metav1.NamespaceSystem).Get(ctx, bootstrapSecretPrefix+parts[1], metav1.GetOptions{})
	if err != nil || string(found.Data["usage-bootstrap-authentication"]) != "true" {
		return false
	}
	if expiration := string(found.Data["expiration"]); expiration != "" {
		until, err := time.Parse(time.RFC3339, expiration)
		if err != nil || time.Now().After(until) {
			return false
		}
	}
	return subtle.ConstantTimeCompare(found.Data["token-secret"], []byte(parts[2])) == 1
}
