package container

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
)

// layerOf is a layer with files that have their names for content.
func layerOf(t *testing.T, names ...string) v1.Layer { return packed(t, compression.GZip, names...) }

func packed(t *testing.T, by compression.Compression, names ...string) v1.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		text := n
		if strings.Contains(filepath.Base(n), ".wh.") {
			text = ""
		}
		h := &tar.Header{Name: n, Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(b.Bytes())), nil
	}, tarball.WithCompression(by))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func imageFor(t *testing.T, architecture string, layers ...v1.Layer) v1.Image {
	t.Helper()
	i, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: architecture})
	if err != nil {
		t.Fatal(err)
	}
	if i, err = mutate.AppendLayers(i, layers...); err != nil {
		t.Fatal(err)
	}
	return i
}

// laidOut writes a layout with images, the nth for the nth platform, OS/ARCHITECTURE; "" says none.
func laidOut(t *testing.T, platforms []string, images ...v1.Image) string {
	t.Helper()
	var index v1.ImageIndex = empty.Index
	for n, i := range images {
		d := v1.Descriptor{}
		if platforms[n] != "" {
			p, err := v1.ParsePlatform(platforms[n])
			if err != nil {
				t.Fatal(err)
			}
			d.Platform = p
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i, Descriptor: d})
	}
	dir := t.TempDir()
	if _, err := layout.Write(filepath.Join(dir, "image"), index); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFlatten(t *testing.T) {
	i := imageFor(t, "amd64", layerOf(t, "a/old", "a/kept", "b", "d/old"), layerOf(t, "a/.wh.old", "c"),
		packed(t, compression.ZStd, "d/.wh..wh..opq", "d/new"))
	dir := laidOut(t, []string{"linux/amd64"}, i)
	var first, second bytes.Buffer
	for _, out := range []*bytes.Buffer{&first, &second} {
		image, err := Open(dir, "oci:image")
		if err != nil {
			t.Fatal(err)
		}
		if want, _ := i.Digest(); image.Digest != want.String() {
			t.Errorf("digest %s; want %s", image.Digest, want)
		}
		if err := image.Flatten(out, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("one image, two archives")
	}
	var names []string
	for r := tar.NewReader(&first); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		names = append(names, h.Name)
	}
	slices.Sort(names)
	if want := []string{"a/kept", "b", "c", "d/new"}; !slices.Equal(names, want) {
		t.Errorf("files %q; want %q", names, want)
	}
}

func TestSaved(t *testing.T) {
	dir := t.TempDir()
	i := imageFor(t, "amd64", layerOf(t, "a"))
	if err := tarball.WriteToFile(filepath.Join(dir, "x.tar"), nil, i); err != nil {
		t.Fatal(err)
	}
	image, err := Open(dir, "docker-archive:x.tar")
	if err == nil {
		err = image.Flatten(io.Discard, 1<<20)
	}
	if err != nil {
		t.Error(err)
	}
}

func TestTooLarge(t *testing.T) {
	dir := laidOut(t, []string{""}, imageFor(t, "amd64", layerOf(t, "a"), layerOf(t, "b", "c")))
	image, err := Open(dir, "oci:image")
	if err != nil {
		t.Fatal(err)
	}
	var large *TooLarge
	if err := image.Flatten(io.Discard, 1000); !errors.As(err, &large) {
		t.Errorf("three files in 1000 bytes: %v", err)
	}
	if err := image.Flatten(io.Discard, 1<<20); err != nil {
		t.Error(err)
	}
}

func TestBad(t *testing.T) {
	arm, amd := imageFor(t, "arm64"), imageFor(t, "amd64")
	tampered := func(with string) string {
		dir := laidOut(t, []string{""}, imageFor(t, "amd64", layerOf(t, "a")))
		blobs, err := filepath.Glob(filepath.Join(dir, "image/blobs/sha256/*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blobs {
			text, err := os.ReadFile(b)
			if err == nil && bytes.Contains(text, []byte(with)) {
				err = os.WriteFile(b, append(text, '\n'), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	changed := func(change func(image string) error) string {
		dir := laidOut(t, []string{""}, amd)
		if err := change(filepath.Join(dir, "image")); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	linked := changed(func(image string) error { return os.Symlink("/dev/zero", filepath.Join(image, "blobs/x")) })
	waiting := changed(func(image string) error {
		index := filepath.Join(image, "index.json")
		return errors.Join(os.Remove(index), unix.Mkfifo(index, 0o600))
	})
	large := changed(func(image string) error { return os.Truncate(filepath.Join(image, "index.json"), 200<<30) })
	largeBlob := changed(func(image string) error {
		blobs, err := filepath.Glob(filepath.Join(image, "blobs/sha256/*"))
		for _, b := range blobs {
			err = errors.Join(err, os.Truncate(b, 200<<30))
		}
		return err
	})
	for _, c := range []struct{ dir, ref, want string }{
		{linked, "oci:image", "blobs/x is a link"},
		{waiting, "oci:image", "index.json is a pipe"},
		{large, "oci:image", "index.json has more than"},
		{largeBlob, "oci:image", "has more than"},
		{filepath.Join(waiting, "image"), "docker-archive:index.json", "index.json is a pipe"},
		{"", "nginx", "want oci:DIR"},
		{"", "oci:", "want oci:DIR"},
		{"", "docker://nginx", "asks no registry"},
		{t.TempDir(), "oci:image", "no such file"},
		{laidOut(t, nil), "oci:image", "it has no image"},
		{laidOut(t, []string{"linux/arm64"}, arm), "oci:image", "images for linux/arm64, and none for linux/amd64"},
		{laidOut(t, []string{""}, arm), "oci:image", "it is for linux/arm64"},
		{laidOut(t, []string{"", "linux/amd64"}, amd, amd), "oci:image", "2 images for linux/amd64"},
		{tampered("\x1f\x8b"), "oci:image", "a layer is not what its hash says"},
		{tampered(`"rootfs"`), "oci:image", "the configuration is not what its hash says"},
		{tampered(`"layers":[`), "oci:image", "a manifest is not what its hash says"},
	} {
		image, err := Open(c.dir, c.ref)
		if err == nil {
			err = image.Flatten(io.Discard, 1<<20)
		}
		var bad *Bad
		if !errors.As(err, &bad) || !strings.Contains(bad.Error(), c.want) || !strings.Contains(bad.Error(), c.ref) {
			t.Errorf("%s: %v; want %q", c.ref, err, c.want)
		}
	}
	three := laidOut(t, []string{"linux/arm64", "linux/amd64", "unknown/unknown"}, arm, amd, arm)
	if image, err := Open(three, "oci:image"); err != nil || image.Digest == "" {
		t.Errorf("one of three: %v", err)
	}
}
