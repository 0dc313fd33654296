package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	localPathProvisioner = "rancher.io/local-path"
	selectedNodeKey      = "volume.kubernetes.io/selected-node"
	provisionedByKey     = "pv.kubernetes.io/provisioned-by"
)

// provisionLocalPaths does what local-path-provisioner does: a folder on the chosen node for each claim, made and taken
// away by a pod there. Only the server whose etcd member leads does it.
func (s *Server) provisionLocalPaths(ctx context.Context) {
	for ; ctx.Err() == nil; pauseQuietly(ctx, time.Second) {
		if !s.leads() {
			continue
		}
		within, cancel := context.WithTimeout(ctx, 20*time.Second)
		if err := s.provisionOnce(within); err != nil {
			warningf("local-path: %v", err)
		}
		cancel()
	}
}

func (s *Server) provisionOnce(ctx context.Context) error {
	classes, err := s.admin.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	ours := map[string]*corev1.PersistentVolumeReclaimPolicy{}
	for _, class := range classes.Items {
		if class.Provisioner == localPathProvisioner {
			ours[class.Name] = class.ReclaimPolicy
		}
	}
	claims, err := s.admin.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, claim := range claims.Items {
		name := claim.Spec.StorageClassName
		if name == nil || claim.Spec.VolumeName != "" || claim.Annotations[selectedNodeKey] == "" {
			continue
		}
		if policy, known := ours[*name]; known {
			if err := s.provision(ctx, &claim, policy); err != nil {
				return fmt.Errorf("%s/%s: %w", claim.Namespace, claim.Name, err)
			}
		}
	}
	return s.removeReleased(ctx)
}

// provision goes one step further with a claim: first a pod makes the folder, then comes the volume.
func (s *Server) provision(ctx context.Context, claim *corev1.PersistentVolumeClaim, policy *corev1.PersistentVolumeReclaimPolicy) error {
	node, volume := claim.Annotations[selectedNodeKey], "pvc-"+string(claim.UID)
	folder := strings.Join([]string{volume, claim.Namespace, claim.Name}, "_")
	made, err := s.runOnNode(ctx, "create-"+volume, node, fmt.Sprintf("mkdir -m 0777 -p /storage/%s", folder))
	if err != nil || !made {
		return err
	}
	kind := corev1.HostPathDirectoryOrCreate
	filesystem := corev1.PersistentVolumeFilesystem
	wanted := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: volume, Annotations: map[string]string{
			provisionedByKey: localPathProvisioner, "local.path.provisioner/selected-node": node,
		}},
		Spec: corev1.PersistentVolumeSpec{
			AccessModes: claim.Spec.AccessModes,
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: claim.Spec.Resources.Requests[corev1.ResourceStorage]},
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: onNode(node)},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: s.localPath() + "/" + folder, Type: &kind},
			},
			StorageClassName: *claim.Spec.StorageClassName,
			VolumeMode:       &filesystem,
		},
	}
	if policy != nil {
		wanted.Spec.PersistentVolumeReclaimPolicy = *policy
	}
	_, err = s.admin.CoreV1().PersistentVolumes().Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return s.forgetPod(ctx, "create-"+volume)
}

func onNode(name string) *corev1.NodeSelector {
	return &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchExpressions: []corev1.NodeSelectorRequirement{{
			Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{name},
		}},
	}}}
}

func (s *Server) localPath() string {
	return firstOf(s.options.String("default-local-storage-path"), s.paths.data+"/storage")
}

// removeReleased takes folders away whose claims are gone.
func (s *Server) removeReleased(ctx context.Context) error {
	volumes, err := s.admin.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for _, volume := range volumes.Items {
		released := volume.Status.Phase == corev1.VolumeReleased && volume.Annotations[provisionedByKey] == localPathProvisioner
		if !released || volume.Spec.PersistentVolumeReclaimPolicy != corev1.PersistentVolumeReclaimDelete || volume.Spec.HostPath == nil {
			continue
		}
		folder := volume.Spec.HostPath.Path[strings.LastIndex(volume.Spec.HostPath.Path, "/")+1:]
		node := volume.Annotations["local.path.provisioner/selected-node"]
		removed, err := s.runOnNode(ctx, "delete-"+volume.Name, node, "rm -rf /storage/"+folder)
		if err != nil || !removed {
			return err
		}
		if err := s.admin.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		if err := s.forgetPod(ctx, "delete-"+volume.Name); err != nil {
			return err
		}
	}
	return nil
}

// runOnNode has a pod run a command on a node, and tells whether it has succeeded.
func (s *Server) runOnNode(ctx context.Context, name, node, script string) (bool, error) {
	pods := s.admin.CoreV1().Pods(metav1.NamespaceSystem)
	found, err := pods.Get(ctx, "helper-pod-"+name, metav1.GetOptions{})
	if err == nil {
		if found.Status.Phase == corev1.PodFailed {
			return false, s.forgetPod(ctx, name)
		}
		return found.Status.Phase == corev1.PodSucceeded, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, err
	}
	kind := corev1.HostPathDirectoryOrCreate
	_, err = pods.Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "helper-pod-" + name},
		Spec: corev1.PodSpec{
			NodeName:      node,
			RestartPolicy: corev1.RestartPolicyNever,
			Tolerations:   []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: "helper-pod", Image: busyboxImage, Command: []string{"/bin/sh", "-c", script},
				VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/storage"}},
			}},
			Volumes: []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: s.localPath(), Type: &kind},
			}}},
		},
	}, metav1.CreateOptions{})
	return false, err
}

func (s *Server) forgetPod(ctx context.Context, name string) error {
	now := int64(0)
	err := s.admin.CoreV1().Pods(metav1.NamespaceSystem).Delete(ctx, "helper-pod-"+name, metav1.DeleteOptions{GracePeriodSeconds: &now})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
