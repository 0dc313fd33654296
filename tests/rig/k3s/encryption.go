package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func (s *Server) encryptionFile() string { return s.paths.server("cred", "encryption-config.json") }

type encryptionKey struct {
	Name   string `json:"name"`
	Secret string `json:"secret"`
}

// createEncryption makes the first key of a new cluster with secrets-encryption.
func (s *Server) createEncryption() error {
	if !s.options.Bool("secrets-encryption") || exists(s.encryptionFile()) {
		return nil
	}
	provider := s.options.String("secrets-encryption-provider")
	if provider != "aescbc" && provider != "secretbox" {
		return fmt.Errorf("unsupported secrets-encryption-provider %s: use aescbc or secretbox", provider)
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	key := encryptionKey{Name: provider + "key", Secret: base64.StdEncoding.EncodeToString(secret)}
	content, err := json.Marshal(map[string]any{
		"kind": "EncryptionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1",
		"resources": []any{map[string]any{
			"resources": []string{"secrets"},
			"providers": []any{
				map[string]any{provider: map[string]any{"keys": []encryptionKey{key}}},
				map[string]any{"identity": map[string]any{}},
			},
		}},
	})
	if err != nil {
		return err
	}
	return writeFile(s.encryptionFile(), content, 0o600)
}

// encryptionStatus is the answer to `k3s secrets-encrypt status`.
type encryptionStatus struct {
	Enabled  bool   `json:"enabled"`
	Provider string `json:"provider"`
	Key      string `json:"key"`
}

func (s *Server) serveEncryptionStatus(w http.ResponseWriter, _ *http.Request) {
	content, err := os.ReadFile(s.encryptionFile())
	if err != nil {
		writeJSON(w, encryptionStatus{})
		return
	}
	found := struct {
		Resources []struct {
			Providers []map[string]struct {
				Keys []encryptionKey `json:"keys"`
			} `json:"providers"`
		} `json:"resources"`
	}{}
	if err := json.Unmarshal(content, &found); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	status := encryptionStatus{}
	for _, resource := range found.Resources {
		for name, provider := range resource.Providers[0] {
			if len(provider.Keys) > 0 {
				status = encryptionStatus{Enabled: true, Provider: name, Key: provider.Keys[0].Name}
			}
		}
	}
	writeJSON(w, status)
}

func runSecretsEncrypt(arguments []string) error {
	options, err := parseOptions("secrets-encrypt", arguments)
	if err != nil {
		return err
	}
	if len(options.Rest) != 1 || options.Rest[0] != "status" {
		return fmt.Errorf("this test distribution knows `k3s secrets-encrypt status` only")
	}
	remote, err := commandRemote(options)
	if err != nil {
		return err
	}
	status := encryptionStatus{}
	if err := remote.getJSON("/v1-k3s/encrypt/status", &status); err != nil {
		return fmt.Errorf("see server log for details: %w", err)
	}
	if !status.Enabled {
		fmt.Println("Encryption Status: Disabled, no configuration file found")
		return nil
	}
	kind := map[string]string{"aescbc": "AES-CBC", "secretbox": "XSalsa20-POLY1305"}[status.Provider]
	fmt.Printf("Encryption Status: Enabled\nCurrent Rotation Stage: start\nServer Encryption Hashes: All hashes match\n\n")
	fmt.Printf("Active  Key Type  Name\n------  --------  ----\n *      %s   %s\n", kind, status.Key)
	return nil
}

// commandRemote is this host's own server, for the short commands.
func commandRemote(options *Options) (*Remote, error) {
	token, err := serverSecret(options, pathsOf(options))
	if err != nil {
		return nil, err
	}
	if token.Secret == "" {
		return nil, fmt.Errorf("no token: run this on a server, or give --token")
	}
	server := firstOf(options.String("server"), options.String("etcd-server"), "https://127.0.0.1:"+options.String("https-listen-port"))
	return connect(server, token, serverUser)
}
