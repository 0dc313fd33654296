package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"

	"github.com/coredns/caddy"
	_ "github.com/coredns/coredns/core/dnsserver" // the server type "dns"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/loop"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

const corednsVersion = "1.12.3" // of go.mod, and of K3S v1.34

// runCoreDNS is the real CoreDNS with the plugins that K3S's Corefile names. Its own main package would give every
// component of Kubernetes flags of its own.
func runCoreDNS(arguments []string) error {
	flags := flag.NewFlagSet("coredns", flag.ContinueOnError)
	file := flags.String("conf", "Corefile", "Corefile to load")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	content, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	caddy.AppName, caddy.AppVersion, caddy.Quiet = "CoreDNS", corednsVersion, true
	caddy.SetDefaultCaddyfileLoader("default", caddy.LoaderFunc(func(server string) (caddy.Input, error) {
		content, err := os.ReadFile(*file)
		return caddy.CaddyfileInput{Contents: content, Filepath: *file, ServerTypeName: server}, err
	}))
	caddy.TrapSignals()
	instance, err := caddy.Start(caddy.CaddyfileInput{Contents: content, Filepath: *file, ServerTypeName: "dns"})
	if err != nil {
		return err
	}
	fmt.Printf("CoreDNS-%s\n%s/%s, %s\n", corednsVersion, runtime.GOOS, runtime.GOARCH, runtime.Version())
	instance.Wait()
	return errors.New("CoreDNS stopped")
}
