package main

import "testing"

func TestTheKubeletKnowsItsFlags(t *testing.T) {
	for _, argument := range []string{"max-pods=20", "protect-kernel-defaults=true", "v=4", "--read-only-port=0", "make-iptables-util-chains"} {
		if err := checkKubeletArguments([]string{argument}); err != nil {
			t.Errorf("%s: %v", argument, err)
		}
	}
	err := checkKubeletArguments([]string{"max-pods=20", "no-such-flag=1"})
	if err == nil || err.Error() != "failed to parse kubelet flag: unknown flag: --no-such-flag" {
		t.Errorf("no-such-flag: %v", err)
	}
}
