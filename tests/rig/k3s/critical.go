package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

// criticalValues are the settings that all servers of a cluster must share, as the documentation of
// `k3s server` lists them.
func (s *Server) criticalValues() map[string]string {
	options := s.options
	values := map[string]string{
		"agent-token":       "",
		"cluster-dns":       s.clusterDNS(),
		"disable=servicelb": yesNo(slices.Contains(options.List("disable"), "servicelb")),
	}
	if s.agentSecret != "" {
		values["agent-token"] = caHash([]byte(s.agentSecret))
	}
	for _, key := range []string{"cluster-cidr", "service-cidr"} {
		values[key] = strings.Join(options.List(key), ",")
	}
	for _, key := range []string{"cluster-domain", "egress-selector-mode", "flannel-backend", "secrets-encryption-provider"} {
		values[key] = options.String(key)
	}
	for _, key := range []string{
		"disable-cloud-controller", "disable-helm-controller", "disable-network-policy", "embedded-registry",
		"flannel-external-ip", "flannel-ipv6-masq", "secrets-encryption",
	} {
		values[key] = yesNo(options.Bool(key))
	}
	return values
}

func yesNo(value bool) string {
	if value {
		return "true"
	}
	return "false"
}

// clusterConfig is what a server tells about itself to hosts that join.
type clusterConfig struct {
	Critical map[string]string `json:"critical"`
	Version  string            `json:"version"`
}

func (s *Server) validateCritical(remote *Remote) error {
	theirs := clusterConfig{}
	if err := remote.getJSON("/v1-k3s/config", &theirs); err != nil {
		return err
	}
	ours := s.criticalValues()
	same := true
	for _, key := range slices.Sorted(maps.Keys(ours)) {
		if theirs.Critical[key] != ours[key] {
			warningf("critical configuration mismatched: %s", key)
			same = false
		}
	}
	if !same {
		return errors.New("critical configuration value mismatch between servers")
	}
	return nil
}
