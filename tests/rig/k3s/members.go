package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
)

const (
	voterCondition      = corev1.NodeConditionType("EtcdIsVoter")
	learnerMaxStallTime = 5 * time.Minute
)

// learnerProgress remembers how far a learner came, to evict one that stalls.
type learnerProgress struct {
	id      uint64
	applied uint64
	at      time.Time
}

// manageMembers promotes learners and keeps every server's EtcdIsVoter condition; on the leader only.
func (s *Server) manageMembers(ctx context.Context, nodes corelisters.NodeLister) {
	progress := learnerProgress{}
	for ; ctx.Err() == nil; pauseQuietly(ctx, 500*time.Millisecond) {
		if !s.leads() {
			continue
		}
		within, cancel := context.WithTimeout(ctx, 10*time.Second)
		if s.hasLearner() {
			s.promote(within, &progress)
		}
		s.reportVoters(within, nodes)
		cancel()
	}
}

// hasLearner looks at the local view, which costs nothing.
func (s *Server) hasLearner() bool {
	for _, member := range s.etcd.Server.Cluster().Members() {
		if member.IsLearner {
			return true
		}
	}
	return false
}

func (s *Server) promote(ctx context.Context, progress *learnerProgress) {
	client := s.etcdClient.Load()
	list, err := client.MemberList(ctx)
	if err != nil {
		errorf("Failed to get etcd members for learner management: %v", err)
		return
	}
	for _, member := range list.Members {
		if !member.IsLearner {
			continue
		}
		if _, err := client.MemberPromote(ctx, member.ID); err == nil {
			infof("Promoted learner %s", member.Name)
			return
		}
		s.trackLearner(ctx, member, progress)
	}
}

// trackLearner evicts a learner that made no progress for five minutes.
func (s *Server) trackLearner(ctx context.Context, member *etcdserverpb.Member, progress *learnerProgress) {
	client := s.etcdClient.Load()
	if progress.id != member.ID {
		*progress = learnerProgress{id: member.ID, at: time.Now()}
	}
	for _, endpoint := range member.ClientURLs {
		within, cancel := context.WithTimeout(ctx, 2*time.Second)
		status, err := client.Status(within, endpoint)
		cancel()
		if err == nil && status.RaftAppliedIndex > progress.applied {
			progress.applied, progress.at = status.RaftAppliedIndex, time.Now()
		}
	}
	if time.Since(progress.at) < learnerMaxStallTime {
		return
	}
	if _, err := client.MemberRemove(ctx, member.ID); err != nil {
		errorf("Failed to remove learner %s: %v", member.Name, err)
		return
	}
	warningf("Removed learner %s from etcd cluster", member.Name)
}

// removeMember takes the member with this name and address out of the cluster; it may be gone already.
func (s *Server) removeMember(ctx context.Context, name, address string) error {
	client := s.etcdClient.Load()
	list, err := client.MemberList(ctx)
	if err != nil {
		return err
	}
	for _, member := range list.Members {
		if member.Name != name || !atAddress(member, address) {
			continue
		}
		infof("Removing name=%s id=%d address=%s from etcd", member.Name, member.ID, address)
		_, err := client.MemberRemove(ctx, member.ID)
		if errors.Is(err, rpctypes.ErrMemberNotFound) {
			return nil
		}
		return err
	}
	return nil
}

func atAddress(member *etcdserverpb.Member, address string) bool {
	for _, peer := range member.PeerURLs {
		if parsed, err := url.Parse(peer); err == nil && parsed.Hostname() == address {
			return true
		}
	}
	return false
}

// removeOnRequest carries out the annotation etcd.k3s.cattle.io/remove=true.
func (s *Server) removeOnRequest(ctx context.Context, node *corev1.Node) error {
	name := node.Annotations[nodeNameKey]
	requested := strings.EqualFold(node.Annotations[removeKey], "true")
	if !requested || node.Annotations[removedNameKey] != "" || name == "" {
		return nil
	}
	if err := s.removeMember(ctx, name, node.Annotations[nodeAddressKey]); err != nil {
		return err
	}
	return patchNode(ctx, s.admin, node.Name, map[string]any{"annotations": map[string]any{
		removedNameKey: name, nodeNameKey: nil, nodeAddressKey: nil,
	}})
}

func (s *Server) reportVoters(ctx context.Context, lister corelisters.NodeLister) {
	nodes, err := lister.List(labels.Everything())
	if err != nil {
		return
	}
	for _, node := range nodes {
		if _, isEtcd := node.Labels[etcdLabel]; !isEtcd || node.DeletionTimestamp != nil {
			continue
		}
		if err := s.reportVoter(ctx, node); err != nil {
			warningf("Failed to set condition EtcdIsVoter of node %s: %v", node.Name, err)
		}
	}
}

func (s *Server) reportVoter(ctx context.Context, node *corev1.Node) error {
	wanted := s.voterCondition(node)
	for _, found := range node.Status.Conditions {
		if found.Type == voterCondition && found.Status == wanted.Status && found.Reason == wanted.Reason {
			return nil
		}
	}
	content, err := json.Marshal(map[string]any{"status": map[string]any{"conditions": []corev1.NodeCondition{wanted}}})
	if err != nil {
		return err
	}
	_, err = s.admin.CoreV1().Nodes().Patch(ctx, node.Name, types.StrategicMergePatchType, content, metav1.PatchOptions{}, "status")
	return err
}

func (s *Server) voterCondition(node *corev1.Node) corev1.NodeCondition {
	now := metav1.Now()
	condition := corev1.NodeCondition{
		Type: voterCondition, Status: corev1.ConditionFalse, LastHeartbeatTime: now, LastTransitionTime: now,
		Reason: "NotAMember", Message: "Node is not a member of the etcd cluster",
	}
	for _, member := range s.etcd.Server.Cluster().Members() {
		if member.Name == "" || member.Name != node.Annotations[nodeNameKey] {
			continue
		}
		if member.IsLearner {
			condition.Reason, condition.Message = "MemberIsLearner", "Node has not been promoted to voting member of the etcd cluster"
		} else {
			condition.Status = corev1.ConditionTrue
			condition.Reason, condition.Message = "MemberNotLearner", "Node is a voting member of the etcd cluster"
		}
	}
	return condition
}
