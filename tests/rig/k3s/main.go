// Command k3s keeps K3S's outer contract on the real kube-apiserver, controller-manager, scheduler and
// etcd, for tests of tools that bootstrap and run K3S. It is no distribution of Kubernetes to use:
// README.md lists what differs.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/klog/v2"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// version is set by the linker: see build.sh.
var version = "v1.34.1+k3s1"

const commit = "rig"

func main() {
	if filepath.Base(os.Args[0]) == "kubectl" {
		runKubectl(os.Args[1:])
		return
	}
	if len(os.Args) < 2 {
		usage(os.Stdout)
		return
	}
	run(os.Args[1], os.Args[2:])
}

func run(command string, arguments []string) {
	switch command {
	case "--version", "-v", "-version":
		fmt.Printf("k3s version %s (%s)\ngo version %s\n", version, commit, runtime.Version())
	case "help", "--help", "-h":
		usage(os.Stdout)
	case "kubectl":
		runKubectl(arguments)
	case "kube-apiserver":
		runComponent(apiserver.NewAPIServerCommand(), command, arguments)
	case "kube-controller-manager":
		runComponent(controllermanager.NewControllerManagerCommand(), command, arguments)
	case "kube-scheduler":
		runComponent(scheduler.NewSchedulerCommand(), command, arguments)
	case "kubelet":
		runKubelet(arguments)
	case "kube-proxy":
		runProxy(arguments)
	default:
		runCommand(command, arguments)
	}
}

func runCommand(command string, arguments []string) {
	commands := map[string]func([]string) error{
		"server":          runServer,
		"agent":           runAgent,
		"token":           runToken,
		"etcd-snapshot":   runSnapshot,
		"secrets-encrypt": runSecretsEncrypt,
		"certificate":     runCertificate,
		"rig-images":      runImages,
		"coredns":         runCoreDNS,
		"ctr":             runCtr,
	}
	action, known := commands[command]
	if !known {
		fmt.Fprintf(os.Stderr, "No help topic for '%s'\n", command)
		os.Exit(3)
	}
	if command != "server" && command != "agent" && command != "coredns" {
		klog.LogToStderr(false) // the gRPC library's remarks about connections that close
		klog.SetOutput(io.Discard)
	}
	if err := action(arguments); err != nil {
		fatalf("Error: %v", err)
	}
}

func usage(out *os.File) {
	fmt.Fprint(out, `NAME:
   k3s - Kubernetes, but small and simple (test distribution)

COMMANDS:
   server           Run management server
   agent            Run node agent
   kubectl          Run kubectl
   token            Manage tokens: create, list, delete, generate, rotate
   etcd-snapshot    Manage etcd snapshots: save, ls, delete, prune
   secrets-encrypt  Show the state of secrets encryption: status
   certificate      Manage certificates: check, rotate
   ctr              Run ctr on the containerd of real pods
   rig-images       List the images this version's packaged components use
`)
}

func runComponent(command *cobra.Command, name string, arguments []string) {
	command.SetArgs(arguments)
	os.Args = append([]string{name}, arguments...)
	os.Exit(cli.Run(command))
}

// runKubectl behaves as kubectl with K3S's administrator file for a default.
func runKubectl(arguments []string) {
	if os.Getenv("KUBECONFIG") == "" {
		if file := "/etc/rancher/k3s/k3s.yaml"; exists(file) {
			os.Setenv("KUBECONFIG", file)
		}
	}
	os.Args = append([]string{"kubectl"}, arguments...)
	if _, err := logs.GlogSetter(kubectl.GetLogVerbosity(os.Args)); err != nil {
		fatalf("kubectl: %v", err)
	}
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
