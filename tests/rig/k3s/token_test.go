package main

import (
	"strings"
	"testing"
)

func TestTokensAreTakenApart(t *testing.T) {
	hash := strings.Repeat("ab", 32)
	cases := map[string]Token{
		"secret":                                   {Secret: "secret"},
		"with:colons::and/more$":                   {Secret: "with:colons::and/more$"},
		"K10" + hash + "::server:se:cr::et":        {CAHash: hash, User: "server", Secret: "se:cr::et"},
		"K10" + hash + "::abcdef.0123456789abcdef": {CAHash: hash, Bootstrap: "abcdef.0123456789abcdef"},
		"abcdef.0123456789abcdef":                  {Bootstrap: "abcdef.0123456789abcdef"},
		"K10::node:agents":                         {User: "node", Secret: "agents"},
	}
	for text, want := range cases {
		got, err := parseToken(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestMalformedTokensAreRefused(t *testing.T) {
	for _, text := range []string{"", "K10abc::server:x", "K10" + strings.Repeat("a", 64) + "::server:", "K10nothing"} {
		if token, err := parseToken(text); err == nil {
			t.Errorf("%q became %+v", text, token)
		}
	}
}

func TestBootstrapDataNeedsItsToken(t *testing.T) {
	sealed, err := encrypt("right", []byte("authorities"))
	if err != nil {
		t.Fatal(err)
	}
	if opened, err := decrypt("right", sealed); err != nil || string(opened) != "authorities" {
		t.Errorf("%q, %v", opened, err)
	}
	if _, err := decrypt("wrong", sealed); err == nil {
		t.Error("a wrong token opened the data")
	}
}

func TestImageNamesAreCompleted(t *testing.T) {
	cases := map[string]string{
		"busybox":                     "docker.io/library/busybox:latest",
		"rancher/mirrored-pause:3.6":  "docker.io/rancher/mirrored-pause:3.6",
		"registry.local:5000/a/b":     "registry.local:5000/a/b:latest",
		"quay.io/argoproj/argocd:v3":  "quay.io/argoproj/argocd:v3",
		"localhost/one@sha256:abcdef": "localhost/one@sha256:abcdef",
	}
	for name, want := range cases {
		if got := normalise(name); got != want {
			t.Errorf("%s became %s", name, got)
		}
	}
}

func TestPasswordsMatchTheirHashOnly(t *testing.T) {
	hash, err := hashPassword("right")
	if err != nil {
		t.Fatal(err)
	}
	if verifyPassword(hash, "right") != nil || verifyPassword(hash, "wrong") == nil || verifyPassword("$1:broken", "right") == nil {
		t.Errorf("hash %s does not tell passwords apart", hash)
	}
}
