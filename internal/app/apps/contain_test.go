package apps

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"ukl/nixexprs"
)

// What an image says is as with a container: arguments replace its command, a program its entry point as well.
func TestContain(t *testing.T) {
	config := v1.Config{
		Entrypoint: []string{"entry", "e1"}, Cmd: []string{"c1", "c2"}, Env: []string{"PATH=/x", "A=1"},
		User: "ada:sys", WorkingDir: "/srv/",
	}
	command := v1.Config{Cmd: []string{"c1", "c2"}}
	for _, c := range []struct {
		name, toml    string
		config        v1.Config
		args, argv    []string
		user, workDir string
		env           []string
	}{
		{"the image's", "", config, nil, []string{"entry", "e1", "c1", "c2"}, "ada:sys", "/srv", []string{"PATH=/x", "A=1"}},
		{"arguments", "", config, []string{"x"}, []string{"entry", "e1", "x"}, "ada:sys", "/srv", []string{"PATH=/x", "A=1"}},
		{"no arguments", "", config, []string{}, []string{"entry", "e1"}, "ada:sys", "/srv", []string{"PATH=/x", "A=1"}},
		{"a command alone", "", command, nil, []string{"c1", "c2"}, "", "", nil},
		{"a command with arguments", "", command, []string{"x"}, []string{"c1", "x"}, "", "", nil},
		{
			"the file's", "args = [\"y\"]\nuser = \"bob\"\nworkdir = \"/w\"\nenv = { A = \"2\" }\n", config, nil,
			[]string{"entry", "e1", "y"},
			"bob", "/w",
			[]string{"PATH=/x", "A=2"},
		},
		{
			"another program", "root.program = \"/p\"\n", config, nil,
			[]string{"/p"},
			"ada:sys", "/srv",
			[]string{"PATH=/x", "A=1"},
		},
	} {
		dir := t.TempDir()
		image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", Config: c.config})
		if err != nil {
			t.Fatal(err)
		}
		index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})
		if _, err := layout.Write(filepath.Join(dir, "image"), index); err != nil {
			t.Fatal(err)
		}
		text := c.toml + "root.image = \"oci:image\"\n"
		if err := os.WriteFile(filepath.Join(dir, "ukl.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		a, err := New(nixexprs.FS).Find(dir)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := a.Argv(c.args); !slices.Equal(got, c.argv) {
			t.Errorf("%s: argv %q; want %q", c.name, got, c.argv)
		}
		if a.User != c.user || a.WorkDir != c.workDir || !slices.Equal(a.Env, c.env) {
			t.Errorf("%s: user %q, directory %q, environment %q", c.name, a.User, a.WorkDir, a.Env)
		}
	}
}
