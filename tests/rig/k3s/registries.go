package main

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v2"
)

// registriesFile is K3S's registries.yaml, as far as containerd 1.6 can do it: without rewrites.
type registriesFile struct {
	Mirrors map[string]struct {
		Endpoints []string `yaml:"endpoint"`
	} `yaml:"mirrors"`
	Configs map[string]registryConfig `yaml:"configs"`
}

type registryConfig struct {
	Auth *struct {
		Username string `yaml:"username"`
		Password string `yaml:"password"`
	} `yaml:"auth"`
	TLS struct {
		CA       string `yaml:"ca_file"`
		Cert     string `yaml:"cert_file"`
		Key      string `yaml:"key_file"`
		Insecure bool   `yaml:"insecure_skip_verify"`
	} `yaml:"tls"`
}

// writeRegistries tells containerd from where images come: a folder a registry, anew at each start. It returns the part
// of containerd's own configuration that has the logins.
func (r *realNode) writeRegistries() (string, error) {
	found := registriesFile{}
	content, err := os.ReadFile(r.options.String("private-registry"))
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	if err := yaml.Unmarshal(content, &found); err != nil {
		return "", fmt.Errorf("registries.yaml: %w", err)
	}
	folder := r.certsFolder()
	if err := os.RemoveAll(folder); err != nil {
		return "", err
	}
	for name, text := range found.hosts() {
		if err := writeFile(filepath.Join(folder, name, "hosts.toml"), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return found.logins(), nil
}

func (r *realNode) certsFolder() string { return r.paths.agent("etc", "containerd", "certs.d") }

// hosts gives the text of hosts.toml for each registry that is named.
func (f registriesFile) hosts() map[string]string {
	texts := map[string]string{}
	for name := range f.Configs {
		texts[name] = f.host("https://" + name)
	}
	for name, mirror := range f.Mirrors {
		text := ""
		for _, endpoint := range mirror.Endpoints {
			text += f.host(endpoint)
		}
		if name == "*" {
			name = "_default"
		}
		texts[name] = text
	}
	return texts
}

func (f registriesFile) host(endpoint string) string {
	parsed, err := url.Parse(endpoint)
	if err != nil {
		warningf("registries.yaml: %v", err)
		return ""
	}
	lines := []string{fmt.Sprintf("[host.%q]", strings.TrimSuffix(endpoint, "/")), `  capabilities = ["pull", "resolve"]`}
	tls := f.Configs[parsed.Host].TLS
	if tls.CA != "" {
		lines = append(lines, fmt.Sprintf("  ca = [%q]", tls.CA))
	}
	if tls.Cert != "" {
		lines = append(lines, fmt.Sprintf("  client = [[%q, %q]]", tls.Cert, tls.Key))
	}
	if tls.Insecure {
		lines = append(lines, "  skip_verify = true")
	}
	return strings.Join(lines, "\n") + "\n"
}

func (f registriesFile) logins() string {
	text := ""
	for _, name := range slices.Sorted(maps.Keys(f.Configs)) {
		if auth := f.Configs[name].Auth; auth != nil {
			text += fmt.Sprintf("\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.%q.auth]\n  username = %q\n  password = %q\n",
				name, auth.Username, auth.Password)
		}
	}
	return text
}
