package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
)

func files(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	got := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 0 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s has a time or an owner", h.Name)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		got[h.Name] = b
	}
}

func TestArchive(t *testing.T) {
	c := Contents{
		Name: "app", Kernel: []byte("kernel"), Args: []string{"-p", "80"}, Env: []string{"A=b"},
		Ports: []string{"80/tcp"},
	}
	a, err := Archive(c)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Archive(c); err != nil || !bytes.Equal(a, again) {
		t.Errorf("equal contents give other bytes: %v", err)
	}
	got := files(t, a)
	blob := func(d descriptor) []byte {
		b := got["blobs/"+strings.Replace(d.Digest, ":", "/", 1)]
		if digest(b) != d.Digest || len(b) != d.Size {
			t.Fatalf("%s %s is not there", d.MediaType, d.Digest)
		}
		return b
	}
	var index struct{ Manifests []descriptor }
	var manifest struct {
		Config      descriptor
		Layers      []descriptor
		Annotations map[string]string
	}
	var config struct {
		OS     string
		Config struct {
			Env, Entrypoint, Cmd []string
			ExposedPorts         map[string]struct{}
			Labels               map[string]string
		}
		Rootfs struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode := func(b []byte, v any) {
		if err := json.Unmarshal(b, v); err != nil {
			t.Fatal(err)
		}
	}
	decode(got["index.json"], &index)
	decode(blob(index.Manifests[0]), &manifest)
	decode(blob(manifest.Config), &config)
	z, err := gzip.NewReader(bytes.NewReader(blob(manifest.Layers[0])))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := io.ReadAll(z)
	if err != nil || config.Rootfs.DiffIDs[0] != digest(layer) {
		t.Errorf("the layer is another one: %v", err)
	}
	root := files(t, layer)
	var urunc map[string]string
	decode(root["urunc.json"], &urunc)
	for k, want := range map[string]string{
		"com.urunc.unikernel.binary": "/unikernel/vmlinux", "com.urunc.unikernel.unikernelType": "linux",
		"com.urunc.unikernel.hypervisor": "qemu",
		"com.urunc.unikernel.cmdline":    "/app -p 80",
	} {
		plain, err := base64.StdEncoding.DecodeString(urunc[k])
		if err != nil || string(plain) != want || manifest.Annotations[k] != want || config.Config.Labels[k] != want {
			t.Errorf("%s: %q, %q, %q; want %q", k, plain, manifest.Annotations[k], config.Config.Labels[k], want)
		}
	}
	if string(root["unikernel/vmlinux"]) != "kernel" {
		t.Error("no kernel")
	}
	if cc := config.Config; config.OS != "linux" || strings.Join(cc.Entrypoint, " ") != "/app" ||
		strings.Join(cc.Cmd, " ") != "-p 80" ||
		strings.Join(cc.Env, " ") != "A=b" || len(cc.ExposedPorts) != 1 {
		t.Errorf("config %+v", config)
	}
}

// What the kernel's command line cannot say is refused, not mangled.
func TestUnsayable(t *testing.T) {
	many := strings.Fields(strings.Repeat("x ", mostWords+1))
	for _, c := range []Contents{
		{Args: []string{"two words"}},
		{Args: []string{""}},
		{Args: []string{`"quoted"`}},
		{Args: many},
		{Args: []string{"line\nbreak"}},
		{Env: []string{"A=b c"}},
		{Env: []string{"A.B=c"}},
	} {
		var u *Unsayable
		if _, err := Archive(c); !errors.As(err, &u) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := Archive(Contents{Args: many[1:], Env: []string{"A=b.c"}}); err != nil {
		t.Error(err)
	}
}
