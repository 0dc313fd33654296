package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
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

// leaveForeignGroups takes hierarchies of controllers away that systemd has mounted by itself: the engine has made no
// group of this host there, which the kubelet would miss, and what runc made would outlive the host. Only this host's
// mounts change.
func leaveForeignGroups(root string) error {
	content, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "cgroup" || exists(fields[1]+root) {
			continue
		}
		if err := syscall.Unmount(fields[1], syscall.MNT_DETACH); err != nil {
			return fmt.Errorf("%s cannot be unmounted: %w", fields[1], err)
		}
	}
	return nil
}
