package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// kernelFlags are the values the kubelet insists on with protect-kernel-defaults.
var kernelFlags = []struct {
	name     string
	expected int
}{
	{"vm/overcommit_memory", 1},
	{"vm/panic_on_oom", 0},
	{"kernel/panic", 10},
	{"kernel/panic_on_oops", 1},
	{"kernel/keys/root_maxkeys", 1000000},
	{"kernel/keys/root_maxbytes", 25000000},
}

// checkKernel refuses to start as the kubelet does when a value differs from its default.
func checkKernel(options *Options) error {
	if !options.Bool("protect-kernel-defaults") {
		return nil
	}
	wrong := []string{}
	for _, flag := range kernelFlags {
		content, err := os.ReadFile("/proc/sys/" + flag.name)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("open /proc/sys/%s: %v", flag.name, err))
			continue
		}
		actual, err := strconv.Atoi(strings.TrimSpace(string(content)))
		if err != nil || actual != flag.expected {
			wrong = append(wrong, fmt.Sprintf("invalid kernel flag: %s, expected value: %d, actual value: %d", flag.name, flag.expected, actual))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("kubelet exited: failed to start ContainerManager: [%s]", strings.Join(wrong, ", "))
}
