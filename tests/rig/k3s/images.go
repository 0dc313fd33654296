package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	corev1 "k8s.io/api/core/v1"
)

// imageStore knows which images the archives in agent/images brought.
type imageStore struct {
	directory string
	mutex     sync.Mutex
	archives  map[string]archive
	changed   chan struct{} // told when new images arrived
}

type archive struct {
	size     int64
	modified time.Time
	images   []string
}

func newImageStore(directory string) *imageStore {
	store := &imageStore{directory: directory, archives: map[string]archive{}, changed: make(chan struct{}, 1)}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		warningf("failed to make %s: %v", directory, err)
	}
	store.scan()
	return store
}

// watch imports archives that are dropped in while the node runs.
func (i *imageStore) watch(ctx context.Context) {
	for pause(ctx, 3*time.Second) == nil {
		if i.scan() {
			select {
			case i.changed <- struct{}{}:
			default:
			}
		}
	}
}

// scan reads archives that are new or different, and tells whether there were any.
func (i *imageStore) scan() bool {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	entries, err := os.ReadDir(i.directory)
	if err != nil {
		return false
	}
	news := false
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.IsDir() || strings.HasPrefix(entry.Name(), ".") || i.known(info) {
			continue
		}
		images, err := readImages(filepath.Join(i.directory, entry.Name()))
		if err != nil {
			warningf("Failed to import images from %s: %v", entry.Name(), err)
			continue
		}
		if len(images) > 0 {
			infof("Imported images from %s: %s", entry.Name(), strings.Join(images, " "))
		}
		// Images stay when their archive goes, as in containerd.
		i.archives[entry.Name()] = archive{info.Size(), info.ModTime(), append(i.archives[entry.Name()].images, images...)}
		news = true
	}
	return news
}

func (i *imageStore) known(info fs.FileInfo) bool {
	kept, seen := i.archives[info.Name()]
	return seen && kept.size == info.Size() && kept.modified.Equal(info.ModTime())
}

func (i *imageStore) has(image string) bool {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	for _, kept := range i.archives {
		if slices.Contains(kept.images, normalise(image)) {
			return true
		}
	}
	return false
}

func (i *imageStore) report() []corev1.ContainerImage {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	names := map[string]bool{}
	for _, kept := range i.archives {
		for _, image := range kept.images {
			names[image] = true
		}
	}
	images := []corev1.ContainerImage{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		images = append(images, corev1.ContainerImage{Names: []string{name}})
	}
	return images[:min(len(images), 50)]
}

// readImages lists the names in a docker-archive or OCI layout. A .txt names images to pull.
func readImages(file string) ([]string, error) {
	opened, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	var reader io.Reader = bufio.NewReaderSize(opened, 1<<16)
	switch {
	case strings.HasSuffix(file, ".txt"):
		return readList(reader)
	case strings.HasSuffix(file, ".gz"), strings.HasSuffix(file, ".tgz"):
		if reader, err = gzip.NewReader(reader); err != nil {
			return nil, err
		}
	case strings.HasSuffix(file, ".zst"), strings.HasSuffix(file, ".tzst"):
		decoder, err := zstd.NewReader(reader)
		if err != nil {
			return nil, err
		}
		defer decoder.Close()
		reader = decoder
	case !strings.HasSuffix(file, ".tar"):
		return nil, nil
	}
	return readArchive(tar.NewReader(reader))
}

// readList pulls the images of a list, which only a host with a way out can do.
func readList(reader io.Reader) ([]string, error) {
	images := []string{}
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		name := strings.TrimSpace(lines.Text())
		if name != "" && !strings.HasPrefix(name, "#") {
			images = append(images, normalise(name))
		}
	}
	if !online() && len(images) > 0 {
		return nil, fmt.Errorf("failed to pull %s: no route to a registry", images[0])
	}
	return images, nil
}

func readArchive(reader *tar.Reader) ([]string, error) {
	images := []string{}
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return images, nil
		}
		if err != nil {
			return nil, err
		}
		switch strings.TrimPrefix(header.Name, "./") {
		case "manifest.json":
			manifests := []struct{ RepoTags []string }{}
			if err := json.NewDecoder(reader).Decode(&manifests); err != nil {
				return nil, fmt.Errorf("manifest.json: %w", err)
			}
			for _, manifest := range manifests {
				images = appendNames(images, manifest.RepoTags...)
			}
		case "index.json":
			index := struct {
				Manifests []struct{ Annotations map[string]string }
			}{}
			if err := json.NewDecoder(reader).Decode(&index); err != nil {
				return nil, fmt.Errorf("index.json: %w", err)
			}
			for _, manifest := range index.Manifests {
				images = appendNames(images, manifest.Annotations["io.containerd.image.name"],
					manifest.Annotations["org.opencontainers.image.ref.name"])
			}
		}
	}
}

func appendNames(images []string, names ...string) []string {
	for _, name := range names {
		if strings.ContainsAny(name, ":@") && !slices.Contains(images, normalise(name)) {
			images = append(images, normalise(name))
		}
	}
	return images
}

// normalise gives an image's full name: docker.io/library/busybox:latest for busybox.
func normalise(image string) string {
	first, _, hasPath := strings.Cut(image, "/")
	switch {
	case !hasPath:
		image = "docker.io/library/" + image
	case !strings.ContainsAny(first, ".:") && first != "localhost":
		image = "docker.io/" + image
	}
	last := image[strings.LastIndex(image, "/")+1:]
	if !strings.ContainsAny(last, ":@") {
		image += ":latest"
	}
	return image
}

// online tells whether images can be pulled: K3S_RIG_ONLINE says so, else a default route other
// than the dummy one of an air-gapped host.
func online() bool {
	switch os.Getenv("K3S_RIG_ONLINE") {
	case "true":
		return true
	case "false":
		return false
	}
	content, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) > 2 && fields[1] == "00000000" && !strings.HasPrefix(fields[0], "dummy") {
			return true
		}
	}
	return false
}
