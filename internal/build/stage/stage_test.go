package stage

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

func TestOf(t *testing.T) {
	for name, title := range map[string]string{
		"tree-tools": "build tools", "linux-objects": "Linux objects", "glibc": "glibc", "image-hello": "image",
		"app-a-b": "app",
	} {
		if s, ok := Of(name); !ok || s.Title != title {
			t.Errorf("%s is %q %v, want %q", name, s.Title, ok, title)
		}
	}
	for _, name := range []string{"gcc-12_12.2.0-14+deb12u1_amd64.deb", "image", "glibc-source_2.36.deb", ""} {
		if s, ok := Of(name); ok {
			t.Errorf("%q is taken for %q", name, s.Title)
		}
	}
}

// outputs evaluates every stage with the given arguments and returns the store paths.
func outputs(t *testing.T, c *nix.Client, expr string, args map[string]string) []string {
	t.Helper()
	ctx := context.Background()
	var paths []string
	for _, s := range All {
		drv, err := c.Instantiate(ctx, nix.Request{Expr: expr, Attr: s.Attr, Args: args})
		if err != nil {
			t.Fatalf("%s: %v", s.Attr, err)
		}
		if name := nix.Name(drv); name != s.Name && !(s.App && name == s.Name+"-some") {
			t.Errorf("attribute %s is a derivation named %s", s.Attr, name)
		}
		out, err := c.Outputs(ctx, drv)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, out...)
	}
	return paths
}

// The program carries the expressions, the flake reads them from the checkout and builds stage0 itself; both must
// arrive at the same store paths.
func TestProgramAndCheckoutAgree(t *testing.T) {
	c, err := nix.Find()
	if errors.As(err, new(nix.NotFound)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	checkout, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	app := filepath.Join(t.TempDir(), "some")
	os.Mkdir(app, 0o755)
	os.WriteFile(filepath.Join(app, "ukl.toml"),
		[]byte("name = \"some\"\nargs = [\"x\"]\n[kernel]\nconfig = [\"CONFIG_NLS=y\"]\n[root]\nprogram = \"/x\"\n[source]\nurl = \"file:///x\"\nsha256 = \""+strings.Repeat("ab", 32)+"\"\n"), 0o644)
	os.WriteFile(filepath.Join(app, "main.c"), []byte("int main(void) { return 0; }\n"), 0o644)
	expr, err := nixexprs.Extract(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	args := map[string]string{"app": app}
	program := outputs(t, c, expr, args)
	if got := outputs(t, c, filepath.Join(checkout, "nixexprs"), args); !slices.Equal(got, program) {
		t.Errorf("checkout\n%q\nprogram\n%q", got, program)
	}

	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{
		lock.Stage0Path(), lock.TreePath("tools"), lock.TreePath("qemu"),
		lock.TreePath("data"),
	} {
		if program[i] != want {
			t.Errorf("Nix says %s, package pins %s", program[i], want)
		}
	}
	args["checkout"] = checkout
	if got := outputs(t, c, expr, args); !slices.Equal(got, program) {
		t.Errorf("with stage0 from source\n%q\nwith stage0 from the store\n%q", got, program)
	}
}

// What belongs to a run must not rebuild an image.
func TestRunFieldsDoNotReachTheBuild(t *testing.T) {
	c, err := nix.Find()
	if errors.As(err, new(nix.NotFound)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	app := filepath.Join(t.TempDir(), "some")
	os.Mkdir(app, 0o755)
	os.WriteFile(filepath.Join(app, "main.c"), []byte("int main(void) { return 0; }\n"), 0o644)
	image := func(manifest string) string {
		os.WriteFile(filepath.Join(app, "ukl.toml"), []byte(manifest), 0o644)
		expr, err := filepath.Abs("../../../nixexprs")
		if err != nil {
			t.Fatal(err)
		}
		drv, err := c.Instantiate(context.Background(),
			nix.Request{Expr: expr, Attr: "image", Args: map[string]string{"app": app}})
		if err != nil {
			t.Fatal(err)
		}
		return drv
	}
	plain := image("")
	if got := image("memory = \"64M\"\nports = [\"1:2\"]\nargs = [\"a\"]\n[env]\nA = \"b\"\n[[test]]\nexpect = \"x\"\n"); got != plain {
		t.Error("a field for running changed the image")
	}
	if got := image("cflags = [\"-DX\"]\n"); got == plain {
		t.Error("a field for building did not change the image")
	}
}
