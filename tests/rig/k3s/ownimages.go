package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

const busyboxImage = "rancher/mirrored-library-busybox:1.36.1"

// As the process with number 1 a shell has to be told what SIGTERM means.
const pauseScript = `trap "exit 0" TERM INT; while :; do sleep 86400 & wait $!; done`

// ownImage is an image of K3S's that is assembled from what the host has: there is no registry to pull it from.
type ownImage struct {
	name       string
	layer      func(*tar.Writer) error
	entrypoint []string
}

func ownImages() []ownImage {
	coredns, _ := componentImages()
	return []ownImage{
		{busyboxImage, writeBusybox, nil},
		{pauseImage, writeBusybox, []string{"/bin/sh", "-c", pauseScript}},
		{coredns, writeProgram, []string{"/k3s", "coredns"}},
	}
}

// importOwnImages gives containerd the images that K3S's own archive would bring, as an archive.
func (r *realNode) importOwnImages() error {
	known, err := knownImages()
	if err != nil {
		return fmt.Errorf("ctr images list: %w", err)
	}
	for _, image := range ownImages() {
		if known[normalise(image.name)] {
			continue
		}
		reader, writer := io.Pipe()
		go func() { writer.CloseWithError(image.write(writer)) }()
		if err := importArchive(reader); err != nil {
			return fmt.Errorf("%s: %w", image.name, err)
		}
		infof("Imported images from this program: %s", normalise(image.name))
	}
	return nil
}

func importArchive(reader io.Reader) error {
	command := ctr("images", "import", "-")
	command.Stdin = reader
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said))
	}
	return nil
}

// write writes the image as `docker save` does.
func (i ownImage) write(to io.Writer) error {
	digest, size, err := i.measure()
	if err != nil {
		return err
	}
	config := map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": i.entrypoint, "Env": []string{"PATH=/bin:/usr/bin:/sbin:/usr/sbin"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest}},
	}
	manifest := []map[string]any{{"Config": "config.json", "RepoTags": []string{normalise(i.name)}, "Layers": []string{"layer.tar"}}}
	archive := tar.NewWriter(to)
	if err := writeJSONFile(archive, "config.json", config); err != nil {
		return err
	}
	if err := writeJSONFile(archive, "manifest.json", manifest); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: size}); err != nil {
		return err
	}
	layer := tar.NewWriter(archive)
	if err := i.layer(layer); err != nil {
		return err
	}
	if err := layer.Close(); err != nil {
		return err
	}
	return archive.Close()
}

func (i ownImage) measure() (digest string, size int64, err error) {
	hash, counter := sha256.New(), &countingWriter{}
	layer := tar.NewWriter(io.MultiWriter(hash, counter))
	if err := i.layer(layer); err != nil {
		return "", 0, err
	}
	if err := layer.Close(); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), counter.bytes, nil
}

type countingWriter struct{ bytes int64 }

func (c *countingWriter) Write(data []byte) (int, error) {
	c.bytes += int64(len(data))
	return len(data), nil
}

func writeJSONFile(archive *tar.Writer, name string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err = archive.Write(content)
	return err
}

// writeProgram is a file system with this program and nothing else.
func writeProgram(layer *tar.Writer) error { return addFile(layer, "/proc/self/exe", "k3s") }

// writeBusybox is a file system with BusyBox under all its names.
func writeBusybox(layer *tar.Writer) error {
	if err := errors.Join(addFolder(layer, "bin", 0o755), addFolder(layer, "tmp", 0o1777)); err != nil {
		return err
	}
	if err := addFile(layer, "/bin/busybox", "bin/busybox"); err != nil {
		return err
	}
	listed, err := exec.Command("/bin/busybox", "--list").Output()
	if err != nil {
		return err
	}
	for _, name := range strings.Fields(string(listed)) {
		if name == "busybox" {
			continue
		}
		header := &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777}
		if err := layer.WriteHeader(header); err != nil {
			return err
		}
	}
	return nil
}

func addFolder(layer *tar.Writer, name string, mode int64) error {
	return layer.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode})
}

func addFile(layer *tar.Writer, path, name string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := layer.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(layer, file)
	return err
}

// importArchives brings what lies in agent/images to containerd, also what is dropped in later.
func (r *realNode) importArchives(ctx context.Context) {
	seen := map[string]time.Time{}
	for ; ctx.Err() == nil; pauseQuietly(ctx, 2*time.Second) {
		files, err := filepath.Glob(r.paths.agent("images", "*"))
		if err != nil {
			return
		}
		for _, file := range files {
			info, err := os.Stat(file)
			if err != nil || info.IsDir() || seen[file].Equal(info.ModTime()) {
				continue
			}
			seen[file] = info.ModTime()
			if err := importFile(file); err != nil {
				warningf("Failed to import images from %s: %v", file, err)
			}
		}
	}
}

func importFile(file string) error {
	images, err := readImages(file)
	if err != nil || len(images) == 0 {
		return err
	}
	if strings.HasSuffix(file, ".txt") {
		return fmt.Errorf("this test distribution pulls no images of a list")
	}
	opened, err := os.Open(file)
	if err != nil {
		return err
	}
	defer opened.Close()
	reader, err := decompressed(file, bufio.NewReaderSize(opened, 1<<16))
	if err != nil {
		return err
	}
	if err := importArchive(reader); err != nil {
		return err
	}
	infof("Imported images from %s: %s", filepath.Base(file), strings.Join(images, " "))
	return nil
}

func decompressed(file string, reader io.Reader) (io.Reader, error) {
	switch filepath.Ext(file) {
	case ".gz", ".tgz":
		return gzip.NewReader(reader)
	case ".zst", ".tzst":
		decoder, err := zstd.NewReader(reader)
		if err != nil {
			return nil, err
		}
		return decoder.IOReadCloser(), nil
	}
	return reader, nil
}
