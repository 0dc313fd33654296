package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	cgroupFolder = "/sys/fs/cgroup"
	cgroupCopy   = "/run/k3s/cgroup"
)

// cgroupRoot is the group of this host, which is a container among others: kubelets that share a group end each
// other's pods. Systemd says best which it is: it moves itself about in the groups of single controllers.
func cgroupRoot() (string, error) {
	content, err := os.ReadFile("/proc/1/cgroup")
	if err != nil {
		return "", err
	}
	mark := ":name=systemd:"
	if exists("/sys/fs/cgroup/cgroup.controllers") {
		mark = "0::"
	}
	for _, line := range strings.Split(string(content), "\n") {
		if _, group, found := strings.Cut(line, mark); found {
			return firstOf(strings.TrimSuffix(group, "/init.scope"), "/"), nil
		}
	}
	return "", fmt.Errorf("/proc/1/cgroup does not say where systemd is:\n%s", content)
}

// hideForeignGroups takes hierarchies of controllers away that systemd has mounted by itself: the engine has made no
// group of this host there, which the kubelet would miss. The folders go as well, since containerd takes each for a
// controller. Only this host's mounts change: the folder itself is the machine's.
func hideForeignGroups(root string) error {
	own, foreign, err := groupMounts(root)
	if err != nil || len(foreign) == 0 {
		return err
	}
	for _, path := range foreign {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("%s cannot be unmounted: %w", path, err)
		}
	}
	if err := os.MkdirAll(cgroupCopy, 0o755); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", cgroupCopy, "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "mode=755"); err != nil {
		return err
	}
	// Else what is unmounted there at the end would go from where it has been put as well.
	if err := syscall.Mount("", cgroupCopy, "", syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, path := range own {
		copied := filepath.Join(cgroupCopy, strings.TrimPrefix(path, cgroupFolder))
		if err := os.MkdirAll(copied, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(path, copied, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s cannot be kept: %w", path, err)
		}
	}
	if err := syscall.Mount(cgroupCopy, cgroupFolder, "", syscall.MS_BIND|syscall.MS_REC, ""); err != nil {
		return err
	}
	return syscall.Unmount(cgroupCopy, syscall.MNT_DETACH)
}

// groupMounts are the hierarchies in which the host has a group, and those in which it has none.
func groupMounts(root string) (own, foreign []string, err error) {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, nil, err
	}
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) < 3 || !strings.HasPrefix(fields[2], "cgroup"):
		case fields[2] == "cgroup" && !exists(fields[1]+root):
			foreign = append(foreign, fields[1])
		default:
			own = append(own, fields[1])
		}
	}
	return own, foreign, nil
}
