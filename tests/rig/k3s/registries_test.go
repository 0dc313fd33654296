package main

import (
	"testing"

	"go.yaml.in/yaml/v2"
)

const registriesExample = `mirrors:
  "*": {endpoint: ["http://10.0.0.1:5000/"]}
  example.test: {endpoint: ["https://10.0.0.2"]}
configs:
  10.0.0.2:
    auth: {username: puller, password: "a\"b"}
    tls: {ca_file: /ca.pem, insecure_skip_verify: true}
`

func TestRegistriesBecomeContainerdsFiles(t *testing.T) {
	found := registriesFile{}
	if err := yaml.Unmarshal([]byte(registriesExample), &found); err != nil {
		t.Fatal(err)
	}
	rest := "  capabilities = [\"pull\", \"resolve\"]\n"
	own := "[host.\"https://10.0.0.2\"]\n" + rest + "  ca = [\"/ca.pem\"]\n  skip_verify = true\n"
	wanted := map[string]string{
		"_default":     "[host.\"http://10.0.0.1:5000\"]\n" + rest,
		"example.test": own,
		"10.0.0.2":     own,
	}
	hosts := found.hosts()
	for name, text := range wanted {
		if hosts[name] != text {
			t.Errorf("%s: %q", name, hosts[name])
		}
	}
	login := "\n[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"10.0.0.2\".auth]\n  username = \"puller\"\n  password = \"a\\\"b\"\n"
	if found.logins() != login {
		t.Errorf("logins: %q", found.logins())
	}
}
