package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

const (
	containerdSocket = "/run/k3s/containerd/containerd.sock"
	containerdRoot   = "/var/lib/containerd" // a volume of the host's container: overlayfs does not lie on overlayfs
	pauseImage       = "rancher/mirrored-pause:3.6"
)

// containerdConfig is the part of K3S's template that pods need. What a host may not do in a container is left out:
// AppArmor, and lowering the score that the kernel's out-of-memory killer goes by.
const containerdConfig = `version = 2
root = %[1]q
state = "/run/k3s/containerd"
oom_score = 0

[grpc]
  address = %[2]q

[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  enable_selinux = false
  restrict_oom_score_adj = true
  sandbox_image = %[3]q
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = %[4]q

[plugins."io.containerd.grpc.v1.cri".containerd]
  disable_snapshot_annotations = true
  snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = %[5]q
`

// startContainerd runs the host's containerd with a configuration of its own, and waits until it answers.
func (r *realNode) startContainerd(ctx context.Context) error {
	program, err := exec.LookPath("containerd")
	if err != nil {
		return fmt.Errorf("real pods need containerd on the host: %w", err)
	}
	file := r.paths.agent("etc", "containerd", "config.toml")
	logins, err := r.writeRegistries()
	if err != nil {
		return err
	}
	content := fmt.Sprintf(containerdConfig, containerdRoot, containerdSocket, pauseImage, r.cniFolder(), r.certsFolder())
	if err := writeFile(file, []byte(content+logins), 0o600); err != nil {
		return err
	}
	// Asked to end, not made to: the shims of the pods stay, and it finds them again at the next start.
	startReal("containerd", exec.Command(program, "--config", file, "--log-level", "warn"), syscall.SIGTERM,
		func(err error) { shutDownBy("containerd exited", err) })
	for {
		connection, err := net.Dial("unix", containerdSocket)
		if err == nil {
			connection.Close()
			infof("containerd is now running")
			return nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// ctr runs containerd's own client in the namespace of the kubelet's pods.
func ctr(arguments ...string) *exec.Cmd {
	return exec.Command("ctr", append([]string{"--address", containerdSocket, "--namespace", "k8s.io"}, arguments...)...)
}

// runCtr is `k3s ctr`.
func runCtr(arguments []string) error {
	command := ctr(arguments...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	return command.Run()
}

func knownImages() (map[string]bool, error) {
	listed, err := ctr("images", "list", "--quiet").Output()
	known := map[string]bool{}
	for _, name := range strings.Fields(string(listed)) {
		known[name] = true
	}
	return known, err
}
