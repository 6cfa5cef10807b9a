// Package oci packs a kernel as an OCI image that urunc, an OCI runtime for unikernels, runs: one layer with the
// kernel, urunc's annotations where any tool may look for them, and the application's arguments and environment as
// those of a container. Equal contents give equal bytes. urunc's names are from its documentation (docs/package) and
// pkg/unikontainers/config.go.
package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"ukl/internal/cli/exit"
)

// Contents are what an image holds.
type Contents struct {
	Name   string // of the application
	Kernel []byte // a vmlinux: QEMU, Firecracker and Cloud Hypervisor boot it
	Args   []string
	Env    []string // NAME=VALUE
	Ports  []string // as ExposedPorts has them: 80/tcp
}

// kernelPath is the kernel's place in the layer.
const kernelPath = "unikernel/vmlinux"

// Unsayable is an argument or variable that cannot reach the application: urunc hands both over on the kernel's command
// line, whose words end at white space.
type Unsayable struct{ What, Text string }

func (e *Unsayable) Error() string {
	return fmt.Sprintf("%s %q does not fit into an OCI image: its kernel's command line takes no white space, no "+
		"quotes, and at most %d words", e.What, e.Text, mostWords)
}

// ExitCode is the code of a command that this ends.
func (*Unsayable) ExitCode() exit.Code { return exit.Input }

// mostWords is the kernel's limit for arguments, and for variables (MAX_INIT_ARGS, MAX_INIT_ENVS), less what it puts
// there itself.
const mostWords = 30

func sayable(what string, list []string) error {
	for i, s := range list {
		if s == "" || strings.ContainsAny(s, " \t\n\r\v\f\"'") || i >= mostWords {
			return &Unsayable{what, s}
		}
	}
	return nil
}

// Annotations are what urunc reads.
func (c Contents) Annotations() map[string]string {
	const prefix = "com.urunc.unikernel."
	return map[string]string{
		prefix + "unikernelType":    "linux",
		prefix + "unikernelVersion": "6.1",
		prefix + "hypervisor":       "qemu",
		prefix + "binary":           "/" + kernelPath,
		prefix + "cmdline":          strings.Join(c.argv(), " "),
		prefix + "mountRootfs":      "false",
	}
}

// argv begins with the name that the application has in a container. urunc makes it the kernel's init=.
func (c Contents) argv() []string { return append([]string{"/" + c.Name}, c.Args...) }

// Archive returns the image layout as a tar archive.
func Archive(c Contents) ([]byte, error) {
	if err := sayable("argument", c.Args); err != nil {
		return nil, err
	}
	if err := sayable("variable", c.Env); err != nil {
		return nil, err
	}
	for _, e := range c.Env { // the kernel takes them for parameters of modules
		if name, _, _ := strings.Cut(e, "="); strings.Contains(name, ".") {
			return nil, &Unsayable{"variable", e}
		}
	}
	content, err := c.layer()
	if err != nil {
		return nil, err
	}
	packed, err := compress(content)
	if err != nil {
		return nil, err
	}
	l := layout{blobs: map[string][]byte{}}
	layer := l.blob("application/vnd.oci.image.layer.v1.tar+gzip", packed)
	config, err := l.document("application/vnd.oci.image.config.v1+json", c.config(digest(content)))
	if err != nil {
		return nil, err
	}
	manifest, err := l.document(typeManifest, map[string]any{
		"schemaVersion": 2,
		"mediaType":     typeManifest,
		"config":        config,
		"layers":        []descriptor{layer},
		"annotations":   c.Annotations(),
	})
	if err != nil {
		return nil, err
	}
	manifest.Platform = map[string]string{"architecture": "amd64", "os": "linux"}
	manifest.Annotations = map[string]string{"org.opencontainers.image.ref.name": "latest"}
	index, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.index.v1+json",
		"manifests":     []descriptor{manifest},
	})
	if err != nil {
		return nil, err
	}
	return l.archive(index)
}

const typeManifest = "application/vnd.oci.image.manifest.v1+json"

// config is the image's configuration. Its labels become annotations of the container, where a tool drops the
// manifest's.
func (c Contents) config(diff string) any {
	ports := map[string]struct{}{}
	for _, p := range c.Ports {
		ports[p] = struct{}{}
	}
	env := c.Env
	if env == nil {
		env = []string{}
	}
	return map[string]any{
		"architecture": "amd64",
		"os":           "linux",
		"created":      epoch.Format(time.RFC3339),
		"config": map[string]any{
			"Env":          env,
			"Entrypoint":   c.argv()[:1],
			"Cmd":          c.argv()[1:],
			"WorkingDir":   "/",
			"ExposedPorts": ports,
			"Labels":       c.Annotations(),
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diff}},
		"history": []map[string]any{{"created": epoch.Format(time.RFC3339), "created_by": "ukl build --format oci"}},
	}
}

// epoch is the time of everything.
var epoch = time.Unix(0, 0).UTC()

// layer is the root file system. Of urunc.json, which is for tools that drop annotations, every value is base64.
func (c Contents) layer() ([]byte, error) {
	values := map[string]string{}
	for k, v := range c.Annotations() {
		values[k] = base64.StdEncoding.EncodeToString([]byte(v))
	}
	urunc, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	return archive([]member{
		{path.Dir(kernelPath) + "/", nil},
		{kernelPath, c.Kernel},
		{"urunc.json", urunc},
	})
}

// descriptor points to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// layout collects blobs by digest.
type layout struct{ blobs map[string][]byte }

func (l layout) blob(mediaType string, b []byte) descriptor {
	d := descriptor{MediaType: mediaType, Digest: digest(b), Size: len(b)}
	l.blobs[d.Digest] = b
	return d
}

// document adds JSON, whose keys are in order because they are those of maps or structs.
func (l layout) document(mediaType string, v any) (descriptor, error) {
	b, err := json.Marshal(v)
	return l.blob(mediaType, b), err
}

func (l layout) archive(index []byte) ([]byte, error) {
	files := []member{
		{"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)},
		{"index.json", index},
		{"blobs/", nil},
		{"blobs/sha256/", nil},
	}
	for _, d := range slices.Sorted(maps.Keys(l.blobs)) {
		files = append(files, member{"blobs/" + strings.Replace(d, ":", "/", 1), l.blobs[d]})
	}
	return archive(files)
}

// member is a file of an archive, or a directory if its name ends with a slash.
type member struct {
	name string
	data []byte
}

func archive(members []member) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := tar.Header{
			Name: m.name, Mode: 0o644, Size: int64(len(m.data)), ModTime: epoch, Typeflag: tar.TypeReg,
			Format: tar.FormatUSTAR,
		}
		if strings.HasSuffix(m.name, "/") {
			h.Mode, h.Typeflag = 0o755, tar.TypeDir
		}
		if err := w.WriteHeader(&h); err != nil {
			return nil, err
		}
		if _, err := w.Write(m.data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return b.Bytes(), err
}

func compress(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}
