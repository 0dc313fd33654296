package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/restmapper"
)

//go:embed packaged/*.yaml
var packaged embed.FS

// packagedImages are those of K3S's packaged components by minor version; an upgrade changes them.
var packagedImages = map[string][2]string{
	"33": {"rancher/mirrored-coredns-coredns:1.12.1", "rancher/mirrored-metrics-server:v0.7.2"},
	"34": {"rancher/mirrored-coredns-coredns:1.12.3", "rancher/mirrored-metrics-server:v0.8.0"},
	"35": {"rancher/mirrored-coredns-coredns:1.13.1", "rancher/mirrored-metrics-server:v0.8.0"},
	"36": {"rancher/mirrored-coredns-coredns:1.14.2", "rancher/mirrored-metrics-server:v0.8.1"},
}

// onlyWhere names the packaged components that are there only where pods are real, or only where they are not.
var onlyWhere = map[string]bool{"local-storage.yaml": true, "metrics-server.yaml": false}

func componentImages() (coredns, metricsServer string) {
	parts := strings.Split(version, ".")
	if len(parts) > 1 {
		if images, known := packagedImages[parts[1]]; known {
			return images[0], images[1]
		}
	}
	return packagedImages["34"][0], packagedImages["34"][1]
}

func runImages([]string) error {
	coredns, metricsServer := componentImages()
	for _, image := range []string{coredns, metricsServer, "rancher/mirrored-pause:3.6"} {
		fmt.Println("docker.io/" + image)
	}
	return nil
}

// deployer applies what lies in server/manifests.
type deployer struct {
	server  *Server
	client  dynamic.Interface
	mapper  *restmapper.DeferredDiscoveryRESTMapper
	applied map[string]string // file -> hash of its content
}

func (s *Server) deployManifests(ctx context.Context) {
	client, err := dynamic.NewForConfig(s.adminConfig)
	if err != nil {
		errorf("manifests cannot be deployed: %v", err)
		return
	}
	found, err := discovery.NewDiscoveryClientForConfig(s.adminConfig)
	if err != nil {
		errorf("manifests cannot be deployed: %v", err)
		return
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	d := &deployer{server: s, client: client, mapper: mapper, applied: map[string]string{}}
	if err := d.stage(ctx); err != nil {
		errorf("packaged manifests cannot be written: %v", err)
	}
	for ; ctx.Err() == nil; pauseQuietly(ctx, 3*time.Second) {
		d.sweep(ctx)
	}
}

// stage writes the packaged files, and takes back those that are disabled.
func (d *deployer) stage(ctx context.Context) error {
	names, err := fs.Glob(packaged, "packaged/*.yaml")
	if err != nil {
		return err
	}
	for _, name := range names {
		content, err := packaged.ReadFile(name)
		if err != nil {
			return err
		}
		content = d.fillIn(content)
		base := filepath.Base(name)
		if real, matters := onlyWhere[base]; matters && real != podsAreReal() {
			continue
		}
		file := d.server.paths.server("manifests", base)
		if slices.Contains(d.server.options.List("disable"), strings.TrimSuffix(base, ".yaml")) {
			if err := d.withdraw(ctx, file, content); err != nil {
				return err
			}
			continue
		}
		if err := writeFile(file, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (d *deployer) fillIn(content []byte) []byte {
	coredns, metricsServer := componentImages()
	registry := d.server.options.String("system-default-registry")
	if registry != "" {
		registry += "/"
	}
	return []byte(strings.NewReplacer(
		"%{SYSTEM_DEFAULT_REGISTRY}%", registry,
		"%{COREDNS_IMAGE}%", coredns,
		"%{METRICS_SERVER_IMAGE}%", metricsServer,
		"%{CLUSTER_DNS}%", d.server.clusterDNS(),
		"%{CLUSTER_DOMAIN}%", d.server.options.String("cluster-domain"),
	).Replace(string(content)))
}

func (d *deployer) withdraw(ctx context.Context, file string, content []byte) error {
	if !exists(file) {
		return nil
	}
	objects, err := parseObjects(content)
	if err != nil {
		return err
	}
	for _, object := range objects {
		resource, err := d.resource(object)
		if err == nil {
			err = resource.Delete(ctx, object.GetName(), metav1.DeleteOptions{})
		}
		if err != nil && !apierrors.IsNotFound(err) {
			warningf("%s %s cannot be deleted: %v", object.GetKind(), object.GetName(), err)
		}
	}
	return os.Remove(file)
}

// sweep applies files that are new or different.
func (d *deployer) sweep(ctx context.Context) {
	err := filepath.WalkDir(d.server.paths.server("manifests"), func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || exists(file+".skip") || !isManifest(file) {
			return nil //nolint:nilerr // the folder may not be there yet
		}
		content, err := os.ReadFile(file)
		if err != nil || d.applied[file] == caHash(content) {
			return nil //nolint:nilerr // gone again
		}
		if err := d.apply(ctx, content); err != nil {
			warningf("Failed to process config: failed to process %s: %v", file, err)
			return nil
		}
		infof("Applied manifest at %q", file)
		d.applied[file] = caHash(content)
		return nil
	})
	if err != nil {
		debugf("manifests: %v", err)
	}
}

func isManifest(file string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(file)))
}

func parseObjects(content []byte) ([]*unstructured.Unstructured, error) {
	objects := []*unstructured.Unstructured{}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		if len(object.Object) == 0 {
			continue
		}
		if !object.IsList() {
			objects = append(objects, object)
			continue
		}
		if err := object.EachListItem(func(item runtime.Object) error {
			if one, isObject := item.(*unstructured.Unstructured); isObject {
				objects = append(objects, one)
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
}

func (d *deployer) apply(ctx context.Context, content []byte) error {
	objects, err := parseObjects(content)
	if err != nil {
		return err
	}
	var failures []error
	for _, object := range objects {
		resource, err := d.resource(object)
		if err == nil {
			_, err = resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "k3s", Force: true})
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err))
		}
	}
	return errors.Join(failures...)
}

func (d *deployer) resource(object *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	kind := object.GroupVersionKind()
	mapping, err := d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if meta.IsNoMatchError(err) {
		d.mapper.Reset()
		mapping, err = d.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	}
	if err != nil {
		return nil, err
	}
	if mapping.Scope.Name() != meta.RESTScopeNameNamespace {
		return d.client.Resource(mapping.Resource), nil
	}
	namespace := object.GetNamespace()
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return d.client.Resource(mapping.Resource).Namespace(namespace), nil
}
