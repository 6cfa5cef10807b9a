// Package container reads container images of this machine: what an OCI layout or an archive of `docker save` has for
// Linux on x86-64.
package container

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"ukl/internal/cli/exit"
	"ukl/internal/host/regular"
)

// Transports of a reference, by the names of skopeo and podman.
const (
	layoutDir = "oci"            // an OCI layout: oci:DIR
	saved     = "docker-archive" // what `docker save` writes: docker-archive:FILE
)

// Bad is an image that cannot be used.
type Bad struct {
	Ref  string // as it was given
	What string
	Help string // the line that helps; "" is none
}

func (e *Bad) Error() string { return fmt.Sprintf("image %q: %s", e.Ref, e.What) }

// ExitCode is the code of a command that this ends.
func (*Bad) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Bad) Hint() string { return e.Help }

// Is tells whether a word is a reference, by its transport.
func Is(word string) bool {
	transport, _, ok := strings.Cut(word, ":")
	return ok && (transport == layoutDir || transport == saved)
}

// Split takes a reference apart: the transport and the path. A *Bad says why it is none.
func Split(ref string) (transport, path string, err error) {
	transport, path, ok := strings.Cut(ref, ":")
	switch {
	case ok && (transport == layoutDir || transport == saved) && path != "":
		return transport, path, nil
	case ok && strings.HasPrefix(path, "//"):
		return "", "", &Bad{
			ref, "ukl asks no registry",
			fmt.Sprintf("skopeo copy %s %s:NAME makes a directory; then: image = \"%[2]s:NAME\"", ref, layoutDir),
		}
	}
	return "", "", &Bad{
		Ref: ref, What: fmt.Sprintf("want %s:DIR, an OCI layout, or %s:FILE, an archive of docker save", layoutDir, saved),
	}
}

// Image is one image.
type Image struct {
	Name   string // of its file or directory
	Digest string // of its manifest, sha256:HEX
	Config v1.Config
	ref    string
	image  v1.Image
}

// Open reads the manifest and the configuration of an image, whose path is relative to a directory.
func Open(dir, ref string) (*Image, error) {
	transport, path, err := Split(ref)
	if err != nil {
		return nil, err
	}
	path = filepath.Join(dir, path)
	i := &Image{ref: ref}
	if transport == layoutDir {
		if err = checkLayout(path); err == nil {
			i.image, err = inLayout(path)
		}
	} else {
		if err = checkSaved(path); err == nil {
			i.image, err = tarball.ImageFromPath(path, nil)
		}
	}
	if err != nil {
		return nil, i.bad(err)
	}
	file, err := i.image.ConfigFile()
	if err != nil {
		return nil, i.bad(err)
	}
	if file.OS != "linux" || file.Architecture != "amd64" {
		return nil, i.bad(fmt.Errorf("it is for %s/%s, and a guest is linux/amd64", file.OS, file.Architecture))
	}
	digest, err := i.image.Digest()
	if err != nil {
		return nil, i.bad(err)
	}
	i.Name, i.Digest, i.Config = filepath.Base(path), digest.String(), file.Config
	return i, nil
}

// mostJSON is how large a manifest or a configuration may be, in bytes: they are read as a whole.
const mostJSON = 16 << 20

// checkLayout looks whether a layout has files and directories only: they lead nowhere else, and do not let a reader
// wait.
func checkLayout(dir string) error {
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !d.Type().IsRegular() {
			err = &regular.Irregular{Path: at, Kind: regular.Kind(d.Type())}
		}
		return err
	})
}

// small looks whether a file is small enough to be read as a whole.
func small(file string) error {
	fi, err := os.Stat(file)
	if err == nil && fi.Size() > mostJSON {
		err = &regular.TooLarge{Path: file, Most: mostJSON}
	}
	return err
}

// checkBlob looks whether a blob of a layout is small, and what its hash says.
func checkBlob(dir, what string, hash v1.Hash) error {
	file := filepath.Join(dir, "blobs", hash.Algorithm, hash.Hex)
	if err := small(file); err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return match(what, hash, f)
}

// checkSaved looks whether what is read as a whole of an archive of docker save is small.
func checkSaved(file string) error {
	f, err := regular.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case strings.HasSuffix(h.Name, ".json") && h.Size > mostJSON:
			return fmt.Errorf("%s has more than %d MB", h.Name, mostJSON>>20)
		}
	}
}

// match looks whether what r has is of a hash.
func match(what string, want v1.Hash, r io.Reader) error {
	got, _, err := v1.SHA256(r)
	if err == nil && got != want {
		err = otherwise(what, want)
	}
	return err
}

func otherwise(what string, hash v1.Hash) error {
	return fmt.Errorf("%s is not what its hash says: %s", what, hash)
}

func (i *Image) bad(err error) error {
	var known *Bad
	if errors.As(err, &known) {
		known.Ref = i.ref
		return known
	}
	return &Bad{Ref: i.ref, What: err.Error()}
}

// inLayout finds the image for Linux on x86-64 in a layout.
func inLayout(dir string) (v1.Image, error) {
	if err := small(filepath.Join(dir, "index.json")); err != nil {
		return nil, err
	}
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	var others []string
	images, err := candidates(dir, index, &others)
	switch {
	case err != nil:
		return nil, err
	case len(images) == 1:
		m, err := images[0].Manifest()
		if err == nil {
			err = checkBlob(dir, "the configuration", m.Config.Digest)
		}
		return images[0], err
	case len(images) > 1:
		return nil, &Bad{
			What: fmt.Sprintf("it has %d images for linux/amd64, and one can be a root", len(images)),
			Help: "make a layout with one: skopeo copy",
		}
	case others != nil:
		slices.Sort(others)
		return nil, fmt.Errorf("it has images for %s, and none for linux/amd64", strings.Join(slices.Compact(others), ", "))
	}
	return nil, errors.New("it has no image")
}

// candidates are the images of an index in a layout, and of those in it, that may be for Linux on x86-64; others gets
// what the rest is for. What is for no system is no image: a certificate of how one was built, say.
func candidates(dir string, index v1.ImageIndex, others *[]string) ([]v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Image
	for _, d := range m.Manifests {
		p := d.Platform
		switch {
		case d.MediaType.IsIndex():
		case !d.MediaType.IsImage() || p != nil && p.OS == "unknown":
			continue
		case p != nil && (p.OS != "linux" || p.Architecture != "amd64"):
			*others = append(*others, p.String())
			continue
		}
		if err := checkBlob(dir, "a manifest", d.Digest); err != nil {
			return nil, err
		}
		if !d.MediaType.IsIndex() {
			i, err := index.Image(d.Digest)
			if err != nil {
				return nil, err
			}
			found = append(found, i)
			continue
		}
		inner, err := index.ImageIndex(d.Digest)
		if err != nil {
			return nil, err
		}
		more, err := candidates(dir, inner, others)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// TooLarge is an image that unpacks to more than it may.
type TooLarge struct {
	Ref  string
	Most int64 // bytes
}

func (e *TooLarge) Error() string {
	return fmt.Sprintf("image %q unpacks to more than %d MB", e.Ref, e.Most/1e6)
}

// ExitCode is the code of a command that this ends.
func (*TooLarge) ExitCode() exit.Code { return exit.Input }

// Flatten writes the root file system of the image as one tar archive, in which a later layer has replaced and removed
// what an earlier one has, after a look whether each layer is what its hash says. Equal images give equal bytes.
func (i *Image) Flatten(w io.Writer, most int64) error {
	if err := i.check(most); err != nil {
		return err
	}
	flat := mutate.Extract(i.image)
	defer flat.Close()
	_, err := io.Copy(w, flat)
	return err
}

// check looks whether the layers are what their hashes say, and how much they unpack to: few bytes can be many files.
func (i *Image) check(most int64) error {
	layers, err := i.image.Layers()
	if err != nil {
		return i.bad(err)
	}
	for _, l := range layers {
		if t, err := l.MediaType(); err != nil || !t.IsLayer() {
			return i.bad(fmt.Errorf("a layer is of the kind %q, which ukl does not unpack", t))
		}
		n, err := i.checkLayer(l, most)
		if err != nil {
			return err
		}
		most -= n
	}
	return nil
}

// checkLayer is what a layer unpacks to, in bytes.
func (i *Image) checkLayer(l v1.Layer, most int64) (int64, error) {
	digest, err := l.Digest()
	if err != nil {
		return 0, i.bad(err)
	}
	packed, err := l.Compressed()
	if err != nil {
		return 0, i.bad(err)
	}
	defer packed.Close()
	if err := match("a layer", digest, packed); err != nil {
		return 0, i.bad(err)
	}
	id, err := l.DiffID()
	if err != nil {
		return 0, i.bad(err)
	}
	text, err := l.Uncompressed()
	if err != nil {
		return 0, i.bad(err)
	}
	defer text.Close()
	limited := &io.LimitedReader{R: text, N: most + 1}
	hash := sha256.New()
	all := io.TeeReader(limited, hash)
	n := sizeOf(all, most)
	_, err = io.Copy(io.Discard, all)
	switch {
	case limited.N <= 0 || n > most:
		return 0, &TooLarge{i.ref, most}
	case err != nil:
		return 0, i.bad(err)
	case hex.EncodeToString(hash.Sum(nil)) != id.Hex:
		return 0, i.bad(otherwise("a layer", id))
	}
	return n, nil
}

// perFile is for how many bytes a file counts besides its content: a million empty ones are too many.
const perFile = 8 << 10

// sizeOf is what the files of an archive have, in bytes, or more than most. What is wrong with the archive is said
// where it is unpacked.
func sizeOf(r io.Reader, most int64) (sum int64) {
	for t := tar.NewReader(r); sum <= most; {
		h, err := t.Next()
		if err != nil {
			break
		}
		sum += h.Size + perFile + 16*int64(len(h.Name)+len(h.Linkname))
	}
	return sum
}
