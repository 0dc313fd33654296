package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func writeConfig(t *testing.T, files map[string]string) string {
	t.Helper()
	main := filepath.Join(t.TempDir(), "config.yaml")
	for name, content := range files {
		path := filepath.Join(filepath.Dir(main), name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return main
}

func TestLaterFilesWinAndPlusAppends(t *testing.T) {
	file := writeConfig(t, map[string]string{
		"config.yaml":              "node-label: [a=1, b=2]\nnode-name: first\ncluster-init: true\n",
		"config.yaml.d/20.yaml":    "node-name: third\n",
		"config.yaml.d/10.yaml":    "node-name: second\nnode-label+: [c=3]\n",
		"config.yaml.d/README.txt": "node-name: ignored\n",
	})
	options, err := parseOptions("server", []string{"--config", file})
	if err != nil {
		t.Fatal(err)
	}
	if got := options.String("node-name"); got != "third" {
		t.Errorf("node-name is %q", got)
	}
	if got := options.List("node-label"); !slices.Equal(got, []string{"a=1", "b=2", "c=3"}) {
		t.Errorf("node-label is %q", got)
	}
	if !options.Bool("cluster-init") {
		t.Error("cluster-init is off")
	}
}

func TestCommandLineReplacesTheFile(t *testing.T) {
	file := writeConfig(t, map[string]string{"config.yaml": "tls-san: [one, two]\netcd-s3: true\n"})
	options, err := parseOptions("server", []string{"-c", file, "--tls-san=three,four", "--etcd-s3=false"})
	if err != nil {
		t.Fatal(err)
	}
	if got := options.List("tls-san"); !slices.Equal(got, []string{"three", "four"}) {
		t.Errorf("tls-san is %q", got)
	}
	if options.Bool("etcd-s3") {
		t.Error("etcd-s3 is on")
	}
}

func TestFileBeatsEnvironmentAndEnvironmentBeatsDefault(t *testing.T) {
	t.Setenv("K3S_TOKEN", "from-environment")
	t.Setenv("K3S_NODE_NAME", "from-environment")
	file := writeConfig(t, map[string]string{"config.yaml": "token: from-file\n"})
	options, err := parseOptions("agent", []string{"--config", file})
	if err != nil {
		t.Fatal(err)
	}
	if options.String("token") != "from-file" || options.String("node-name") != "from-environment" {
		t.Errorf("token %q, node-name %q", options.String("token"), options.String("node-name"))
	}
}

func TestUnknownKeysAreSkippedByServersAndFatalForAgents(t *testing.T) {
	file := writeConfig(t, map[string]string{"config.yaml": "cluster-cdir: 10.0.0.0/8\n"})
	if _, err := parseOptions("server", []string{"--config", file}); err != nil {
		t.Errorf("server: %v", err)
	}
	if _, err := parseOptions("agent", []string{"--config", file}); err == nil {
		t.Error("agent: no error")
	}
	if _, err := parseOptions("server", []string{"--cluster-cdir=10.0.0.0/8"}); err == nil {
		t.Error("command line: no error")
	}
}

func TestArgumentsOfComponentsKeepTheirCommas(t *testing.T) {
	defaults := arguments{"profiling": "false", "enable-admission-plugins": "NodeRestriction"}
	got := defaults.merge([]string{"enable-admission-plugins=NodeRestriction,EventRateLimit", "tls-cipher-suites=A", "tls-cipher-suites=B"})
	want := []string{"--enable-admission-plugins=NodeRestriction,EventRateLimit", "--profiling=false", "--tls-cipher-suites=A,B"}
	if !slices.Equal(got.words(), want) {
		t.Errorf("got %q", got.words())
	}
}
