package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	kubeproxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// kubeletDefaults is what K3S writes, but for cgroupRoot, oomScoreAdj and the limits of disks: hosts share a machine.
const kubeletDefaults = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[1]q}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: %[2]q
clusterDNS: [%[3]q]
clusterDomain: %[4]q
containerRuntimeEndpoint: unix://%[5]s
evictionHard: {imagefs.available: 1%%, nodefs.available: 1%%}
evictionMinimumReclaim: {imagefs.available: 1%%, nodefs.available: 1%%}
failCgroupV1: false
failSwapOn: false
healthzBindAddress: 127.0.0.1
imageGCHighThresholdPercent: 100
oomScoreAdj: 0
providerID: %[6]q
protectKernelDefaults: %[7]t
resolvConf: %[8]q
serializeImagePulls: false
staticPodPath: %[9]q
`

// startKubelet runs the real kubelet; when it ends, so does this process, with the kubelet's own words.
func (r *realNode) startKubelet() error {
	folder := r.paths.agent("etc", "kubelet.conf.d")
	if err := r.writeKubeletConfig(folder + "/00-k3s-defaults.conf"); err != nil {
		return err
	}
	flags := arguments{
		"config-dir":        folder,
		"hostname-override": r.name,
		"kubeconfig":        r.paths.agent("kubelet.kubeconfig"),
		"node-ip":           r.ip,
		"node-labels":       strings.Join(r.kubeletLabels(), ","),
	}
	if taints := r.options.List("node-taint"); len(taints) > 0 {
		flags["register-with-taints"] = strings.Join(taints, ",")
	}
	words := flags.merge(r.options.List("kubelet-arg")).words()
	command := exec.Command("/proc/self/exe", append([]string{"kubelet"}, words...)...)
	startReal("kubelet", command, syscall.SIGKILL, func(err error) { shutDownBy("kubelet exited", err) })
	return nil
}

func (r *realNode) writeKubeletConfig(file string) error {
	pods := r.paths.agent("pod-manifests")
	if err := os.MkdirAll(pods, 0o700); err != nil {
		return err
	}
	resolver, err := r.resolver()
	if err != nil {
		return err
	}
	root, err := cgroupRoot()
	if err == nil {
		err = leaveForeignGroups(root)
	}
	if err != nil {
		return err
	}
	content := fmt.Sprintf(kubeletDefaults, r.paths.agent("client-ca.crt"), root, r.cluster["cluster-dns"],
		r.cluster["cluster-domain"], containerdSocket, "k3s://"+r.name, r.options.Bool("protect-kernel-defaults"),
		resolver, pods)
	return writeFile(file, []byte(content), 0o600)
}

func (r *realNode) kubeletLabels() []string {
	labels := []string{"beta.kubernetes.io/instance-type=k3s", "node.kubernetes.io/instance-type=k3s"}
	return append(labels, r.options.List("node-label")...)
}

// resolver is the host's resolv.conf, or an empty one where that names this host: pods have a loopback of their own.
// K3S names 8.8.8.8 then, which nobody asks from a test.
func (r *realNode) resolver() (string, error) {
	file := firstOf(r.options.String("resolv-conf"), "/etc/resolv.conf")
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 1 && fields[0] == "nameserver" && net.ParseIP(fields[1]).IsLoopback() {
			file = r.paths.agent("etc", "resolv.conf")
			return file, writeFile(file, nil, 0o644)
		}
	}
	return file, nil
}

// startProxy runs the real kube-proxy. It leaves the settings of connection tracking alone, which are the machine's.
func (r *realNode) startProxy() {
	flags := arguments{
		"cluster-cidr":                      r.cluster["cluster-cidr"],
		"conntrack-max-per-core":            "0",
		"conntrack-tcp-timeout-close-wait":  "0s",
		"conntrack-tcp-timeout-established": "0s",
		"healthz-bind-address":              "127.0.0.1",
		"hostname-override":                 r.name,
		"kubeconfig":                        r.paths.agent("kubeproxy.kubeconfig"),
		"proxy-mode":                        "iptables",
	}
	if r.options.Bool("disable-kube-proxy") {
		return
	}
	words := flags.merge(r.options.List("kube-proxy-arg")).words()
	command := exec.Command("/proc/self/exe", append([]string{"kube-proxy"}, words...)...)
	startReal("kube-proxy", command, syscall.SIGKILL, func(err error) { shutDownBy("kube-proxy exited", err) })
}

// runReal runs a component as K3S does, within its own process: the error it ends with is the last thing it says.
func runReal(command *cobra.Command, name string, arguments []string) {
	syscall.CloseOnExec(wordsDescriptor)
	command.SetArgs(arguments)
	command.SilenceErrors, command.SilenceUsage = true, true
	os.Args = append([]string{name}, arguments...)
	if err := command.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.NewFile(wordsDescriptor, "words"), err)
		os.Exit(1)
	}
}

func runKubelet(arguments []string) {
	runReal(kubelet.NewKubeletCommand(context.Background()), "kubelet", arguments)
}

func runProxy(arguments []string) { runReal(kubeproxy.NewProxyCommand(), "kube-proxy", arguments) }
