package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// fake is a store in a directory, whose builds are instantaneous.
type fake struct {
	addable string // what may be added to the store; "" is nothing
	t       *testing.T
	dir     string
	calls   []string
	plan    []string
	build   error
	check   error
	args    map[string]string // of the last image
	named   bool              // each derivation has an output of its own
}

func (f *fake) call(s string) { f.calls = append(f.calls, s) }

func (f *fake) Invalid(context.Context, []string) ([]string, error) {
	f.call("invalid")
	return nil, nil
}

func (f *fake) AddFixed(context.Context, bool, []string) ([]string, error) {
	if f.addable == "" {
		f.t.Error("something was added to the store")
		return nil, nil
	}
	f.call("add")
	return []string{f.addable}, nil
}

func (f *fake) Instantiate(_ context.Context, r nix.Request) (string, error) {
	f.call("instantiate " + r.Attr)
	if r.Attr == "image" {
		f.args = r.Args
	}
	if _, err := os.Stat(filepath.Join(r.Expr, "default.nix")); err != nil {
		f.t.Error(err)
	}
	return "/nix/store/00000000000000000000000000000000-" + r.Attr + "-x.drv", nil
}

func (f *fake) Plan(context.Context, string) ([]string, error) { f.call("plan"); return f.plan, nil }

func (f *fake) Outputs(_ context.Context, drv string) ([]string, error) {
	f.call("outputs")
	if f.named {
		return []string{strings.TrimSuffix(drv, ".drv")}, nil
	}
	return []string{filepath.Join(f.dir, "out")}, nil
}

func (f *fake) Realise(_ context.Context, drv, root string, events func(nix.Event)) (string, error) {
	f.call("realise")
	if f.build != nil {
		return "", f.build
	}
	events(nix.Event{Kind: nix.Start, Stage: "image-x", Drv: drv})
	out := filepath.Join(f.dir, "out")
	for _, name := range []string{"vmlinux", "bzImage", "config", "System.map"} {
		if err := os.MkdirAll(out, 0o755); err != nil {
			return "", err
		}
		_ = os.Remove(filepath.Join(out, name)) // whoever is not root cannot write to it
		if err := os.WriteFile(filepath.Join(out, name), []byte(name), 0o444); err != nil {
			return "", err
		}
	}
	if root != "" {
		_ = os.Remove(root)
		if err := os.Symlink(out, root); err != nil {
			return "", err
		}
	}
	return out, nil
}

func (f *fake) Check(_ context.Context, drv string, _ func(nix.Event)) error {
	f.call("check " + nix.Name(drv))
	return f.check
}

type events struct{ builds int }

func (e *events) Fetch(pins.Progress) {}
func (e *events) Note(string)         {}
func (e *events) Build(nix.Event)     { e.builds++ }

// setup makes an application and a builder on a fake store.
func setup(t *testing.T) (*Builder, *fake, apps.App) {
	t.Helper()
	t.Setenv("NIX_REMOTE", "")
	f := &fake{t: t, dir: t.TempDir()}
	b := &Builder{
		Cache:    t.TempDir(),
		Open:     func() (Store, error) { f.call("open"); return f, nil },
		Progress: &events{},
	}
	dir := filepath.Join(t.TempDir(), "app")
	write(t, dir, manifest.File, "name = 'app'\n")
	write(t, dir, "main.c", "int main;\n")
	return b, f, find(t, dir)
}

func find(t *testing.T, dir string) apps.App {
	t.Helper()
	a, err := apps.New(nixexprs.FS).Find(dir + "/")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (f *fake) took(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(f.calls, ", "); got != want {
		t.Errorf("calls: %s\nwant:  %s", got, want)
	}
	f.calls = nil
}

func TestBuild(t *testing.T) {
	b, f, a := setup(t)
	ctx := context.Background()
	i, err := b.Build(ctx, a)
	if err != nil || filepath.Base(i.Vmlinux) != "vmlinux" {
		t.Fatalf("Build = %+v, %v", i, err)
	}
	want := "open, invalid, instantiate image, plan, realise"
	for _, attr := range kept() {
		want += ", instantiate " + attr + ", outputs, realise"
	}
	f.took(t, want)
	if !reflect.DeepEqual(f.args, map[string]string{"app": a.Dir, "fields": b.root(a, fieldsFile)}) {
		t.Errorf("the expressions got %v", f.args)
	}
	if b.Progress.(*events).builds != 1 {
		t.Error("the progress was not told")
	}

	// Nothing has changed: no Nix.
	b.store = nil
	if again, err := b.Build(ctx, a); err != nil || *again != *i {
		t.Errorf("Build = %+v, %v", again, err)
	}
	f.took(t, "")

	// Shared stages are kept once for each version of the expressions.
	write(t, a.Dir, "main.c", "int other;\n")
	if _, err := b.Build(ctx, a); err != nil {
		t.Fatal(err)
	}
	f.took(t, "open, invalid, instantiate image, plan, realise")

	// A file that the build does not see changes nothing; one that it sees does.
	write(t, a.Dir, ".git/index", "x")
	write(t, a.Dir, "result-1", "x")
	if _, err := b.Build(ctx, a); err != nil {
		t.Fatal(err)
	}
	f.took(t, "")
	// What ukl.toml says of a run is not part of a build; what it says of a build is.
	const run = "name = 'app'\nargs = ['x']\nmemory = 64\n"
	write(t, a.Dir, manifest.File, run)
	a = find(t, a.Dir)
	if _, err := b.Build(ctx, a); err != nil {
		t.Fatal(err)
	}
	f.took(t, "")
	for name, text := range map[string]string{
		"main.c": "# another", "inc/x.h": "# another", manifest.File: run + "cflags = ['-O3']\n",
	} {
		write(t, a.Dir, name, text)
		a = find(t, a.Dir)
		if _, err := b.Build(ctx, a); err != nil {
			t.Fatal(err)
		}
		if len(f.calls) == 0 {
			t.Errorf("a changed %s was not built", name)
		}
		f.calls = nil
	}

	// An image that was collected is built again.
	if err := os.RemoveAll(filepath.Join(f.dir, "out")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Build(ctx, a); err != nil || len(f.calls) == 0 {
		t.Errorf("after a garbage collection: %v, %q", err, f.calls)
	}
}

// A run needs the kernel only, and takes it from wherever it is.
func TestKernel(t *testing.T) {
	b, f, a := setup(t)
	ctx := context.Background()
	if err := b.open(); err != nil {
		t.Fatal(err)
	}
	write(t, f.dir, "out/vmlinux", "")
	b.keep(ctx, a)
	f.calls = nil
	k, err := b.Kernel(ctx, a)
	if err != nil || filepath.Base(k) != "vmlinux" {
		t.Fatalf("Kernel = %q, %v", k, err)
	}
	f.took(t, "invalid, instantiate link, plan, realise")
	if again, err := b.Kernel(ctx, a); err != nil || again != k {
		t.Errorf("Kernel = %q, %v", again, err)
	}
	f.took(t, "")
	write(t, a.Dir, "main.c", "int other;")
	if _, err := b.Build(ctx, a); err != nil {
		t.Fatal(err)
	}
	f.calls = nil
	if _, err := b.Kernel(ctx, a); err != nil {
		t.Error(err)
	}
	f.took(t, "") // the image's
}

// Roots of what is not there yet are made as soon as it is, without asking Nix for its path again.
func TestKeep(t *testing.T) {
	b, f, app := setup(t)
	if err := b.open(); err != nil {
		t.Fatal(err)
	}
	b.keep(context.Background(), app)
	if strings.Contains(strings.Join(f.calls, " "), "realise") {
		t.Errorf("what is not there was built: %q", f.calls)
	}
	write(t, f.dir, "out/vmlinux", "")
	f.calls = nil
	b.keep(context.Background(), app)
	f.took(t, strings.TrimSuffix(strings.Repeat("realise, ", len(kept())), ", "))
	b.keep(context.Background(), app)
	f.took(t, "")
}

// An application's own kernel has a root, too, which moves with its configuration alone.
func TestKeepKernel(t *testing.T) {
	b, f, app := setup(t)
	ctx := context.Background()
	if _, err := b.Build(ctx, app); err != nil {
		t.Fatal(err)
	}
	root := b.root(app, attrObjects)
	if _, err := os.Lstat(root); err == nil {
		t.Error("an application with the common kernel has a root of its own for it")
	}
	app.Kernel = []string{"CONFIG_EXT4_FS=y"}
	f.calls = nil
	b.keep(ctx, app)
	f.took(t, "instantiate linux-objects, outputs, realise")
	if _, err := os.Lstat(root); err != nil {
		t.Error(err)
	}
	b.keep(ctx, app)
	f.took(t, "")
	app.Kernel = append(app.Kernel, "CONFIG_NLS_UTF8=y")
	f.calls = nil
	b.keep(ctx, app)
	f.took(t, "instantiate linux-objects, outputs") // of the fake store all paths are one, which has its root
	if err := os.RemoveAll(app.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Forget(false, false); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(root); err == nil {
		t.Error("the kernel of an application that is gone has a root")
	}
}

func TestForget(t *testing.T) {
	b, _, a := setup(t)
	ctx := context.Background()
	other := filepath.Join(t.TempDir(), "other")
	write(t, other, manifest.File, "")
	write(t, other, "main.c", "int main;")
	for _, app := range []apps.App{a, find(t, other)} {
		if _, err := b.Build(ctx, app); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := b.Forget(false, false); err != nil || len(got) != 0 {
		t.Errorf("Forget = %q, %v", got, err)
	}
	if err := os.RemoveAll(a.Dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got, err := b.Forget(false, true); err != nil || strings.Join(got, " ") != "app" {
			t.Errorf("Forget = %q, %v", got, err)
		}
	}
	if got, err := b.Forget(false, false); err != nil || strings.Join(got, " ") != "app" {
		t.Errorf("Forget = %q, %v", got, err)
	}
	if _, err := os.Lstat(filepath.Join(b.Cache, stages, "glibc")); err != nil {
		t.Error("the shared stages have no root")
	}
	if got, err := b.Forget(true, false); err != nil || strings.Join(got, " ") != "other" {
		t.Errorf("Forget = %q, %v", got, err)
	}
	if _, err := os.Lstat(filepath.Join(b.Cache, stages)); err == nil {
		t.Error("the shared stages still have roots")
	}
}

// A container image is flattened once, and forgotten with its application.
func TestForgetContained(t *testing.T) {
	b, f, _ := setup(t)
	f.addable = "/nix/store/0-image.tar"
	dir := filepath.Join(t.TempDir(), "server")
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: "amd64", Config: v1.Config{Entrypoint: []string{"/server"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image})
	if _, err := layout.Write(dir, index); err != nil {
		t.Fatal(err)
	}
	app := find(t, "oci:"+dir)
	for range 2 {
		if err := b.open(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.fields(context.Background(), app); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(strings.Join(f.calls, " "), "add"); n != 1 {
		t.Errorf("the image was added %d times: %q", n, f.calls)
	}
	if got, err := b.Forget(true, false); err != nil || strings.Join(got, " ") != "server" {
		t.Errorf("Forget = %q, %v", got, err)
	}
}

func TestPieces(t *testing.T) {
	b, f, a := setup(t)
	f.named = true
	got, err := b.Pieces(context.Background(), []apps.App{a})
	if err != nil || len(got) != len(kept())+3 || got[len(got)-1].Title != "image of app" {
		t.Errorf("Pieces = %+v, %v", got, err)
	}
}

// Kconfig looks at the lines of configuration of an application before anything of it is compiled; at none of them,
// it does not.
func TestKernelLinesFirst(t *testing.T) {
	for want, build := range map[string]func(*Builder, apps.App) error{
		"image":          func(b *Builder, a apps.App) error { _, err := b.Build(t.Context(), a); return err },
		"link":           func(b *Builder, a apps.App) error { _, err := b.Kernel(t.Context(), a); return err },
		"process-kernel": func(b *Builder, a apps.App) error { _, err := b.ProcessKernel(t.Context(), a); return err },
	} {
		b, f, a := setup(t)
		write(t, a.Dir, manifest.File, "[kernel]\nconfig = [\"CONFIG_A=y\"]\n")
		a = find(t, a.Dir)
		f.build = &nix.BuildError{Stage: "linux-config", Code: 100, Lines: []string{"error: CONFIG_A=y: no"}}
		var faults manifest.Errors
		if err := build(b, a); !errors.As(err, &faults) || slices.Contains(f.calls, "instantiate "+want) {
			t.Errorf("%s, refused lines: %v, %q", want, err, f.calls)
		}
		f.build, f.calls = nil, nil
		err := build(b, a)
		first := "invalid, instantiate linux-config, plan, realise, instantiate " + want + ", plan, realise"
		if got := strings.Join(f.calls, ", "); err != nil || !strings.HasPrefix(got, first) {
			t.Errorf("%v, %s\nwant %s", err, got, first)
		}

		write(t, a.Dir, manifest.File, "")
		a = find(t, a.Dir)
		f.calls = nil
		if err := build(b, a); err != nil || slices.Contains(f.calls, "instantiate linux-config") {
			t.Errorf("%s without lines: %v, %q", want, err, f.calls)
		}
	}
}

// What Kconfig says is a mistake in ukl.toml; what else its stage says is not.
func TestKconfigSays(t *testing.T) {
	b, f, a := setup(t)
	f.build = &nix.BuildError{Stage: "linux-config", Code: 100, Lines: []string{
		"error: CONFIG_A=y: it needs CONFIG_B=y", "error: CONFIG_C=y: it needs CONFIG_B=y",
		"error: these lines help: CONFIG_B=y",
	}}
	_, err := b.Build(context.Background(), a)
	var faults manifest.Errors
	if !errors.As(err, &faults) || len(faults) != 2 || faults[1].Text != "CONFIG_C=y: it needs CONFIG_B=y" ||
		faults.Hint() != "add CONFIG_B=y" || faults[1].Hint != "" {
		t.Errorf("%#v", err)
	}
	f.build = &nix.BuildError{Stage: "linux-config", Code: 100, Lines: []string{"gcc: not found"}}
	if _, err := b.Build(context.Background(), a); !errors.Is(err, f.build) {
		t.Errorf("%#v", err)
	}
}

func TestBuildFails(t *testing.T) {
	b, f, a := setup(t)
	f.build = &nix.BuildError{Stage: "app-x", Code: 100}
	if _, err := b.Build(context.Background(), a); !errors.Is(err, f.build) {
		t.Errorf("Build: %v", err)
	}
	f.build, f.calls = nil, nil
	if _, err := b.Build(context.Background(), a); err != nil || len(f.calls) == 0 {
		t.Errorf("a failed build was remembered: %v", err)
	}
	b.store = nil
	b.Open = func() (Store, error) { return nil, nix.NotFound{} }
	write(t, a.Dir, "main.c", "new")
	if _, err := b.Build(context.Background(), a); !errors.As(err, new(nix.NotFound)) {
		t.Errorf("without Nix: %v", err)
	}
}

func TestNoSpace(t *testing.T) {
	b, f, a := setup(t)
	f.plan = []string{"/nix/store/00000000000000000000000000000000-linux-objects.drv"}
	b.Free = func() (uint64, error) { return 1e6, nil }
	var n *NoSpace
	if _, err := b.Build(context.Background(), a); !errors.As(err, &n) || n.Have != 1e6 || n.Need < 1e8 {
		t.Errorf("Build: %v", err)
	}
	f.plan = nil
	if _, err := b.Build(context.Background(), a); err != nil {
		t.Errorf("nothing to build needs no space: %v", err)
	}
}

func TestCheck(t *testing.T) {
	b, f, a := setup(t)
	if got, err := b.Check(context.Background(), a, false); err != nil || strings.Join(got, " ") != "app link image" {
		t.Errorf("Check = %q, %v", got, err)
	}
	f.took(t, "open, instantiate app, realise, check app-x, instantiate link, realise, check link-x, instantiate image, realise, check image-x")
	f.check = &nix.BuildError{Stage: "app-x", Code: 104}
	// What the first build made is still there from Realise; this is the second.
	write(t, nix.Again(filepath.Join(f.dir, "out")), "vmlinux", "vmlinuz")
	got, err := b.Check(context.Background(), a, false)
	var d *Differs
	if !errors.As(err, &d) || len(got) > 0 || d.Stage != "app" || len(d.Places) != 4 {
		t.Errorf("Check of a difference = %q, %+v", got, d)
	}
	// A second build that Nix did not keep is still one that differs.
	if err := os.RemoveAll(nix.Again(filepath.Join(f.dir, "out"))); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Check(context.Background(), a, false); !errors.As(err, &d) || d.Second != "" || len(d.Places) != 0 {
		t.Errorf("Check of a lost difference = %+v", d)
	}
}

func TestCheckAll(t *testing.T) {
	b, f, a := setup(t)
	got, err := b.Check(context.Background(), a, true)
	if want := "Linux source, Linux objects, glibc source, glibc, app, link, image"; err != nil ||
		strings.Join(got, ", ") != want {
		t.Errorf("Check = %q, %v\nwant %s", got, err, want)
	}
	f.check = errors.New("no")
	if got, err := b.Check(context.Background(), a, true); !errors.Is(err, f.check) || len(got) > 0 {
		t.Errorf("Check that fails = %q, %v", got, err)
	}
}

func TestMissing(t *testing.T) {
	b, f, a := setup(t)
	p := "/nix/store/00000000000000000000000000000000-"
	f.plan = []string{p + "image-x.drv", p + "gcc_12.deb.drv", p + "glibc.drv", p + "linux-objects.drv"}
	if got, err := b.Missing(context.Background(), a); err != nil ||
		strings.Join(got, ", ") != "Linux objects, glibc, image" {
		t.Errorf("Missing = %q, %v", got, err)
	}
}

const drv = `Derive([("out","/nix/store/aaa-x","",""),("dev","/nix/store/aaa-x-dev","r:sha256","00")],[("/nix/store/bbb.drv",["out"])],["/nix/store/ccc-src"],"x86_64-linux","/bin/b",["enter","a b"],[("name","x"),("q","say \"hi\"\n\tback\\slash")])`

func TestDerivation(t *testing.T) {
	d, err := parseDerivation(drv)
	want := &Derivation{
		Outputs: map[string]string{"out": "/nix/store/aaa-x", "dev": "/nix/store/aaa-x-dev"},
		Inputs:  map[string][]string{"/nix/store/bbb.drv": {"out"}},
		Sources: []string{"/nix/store/ccc-src"},
		System:  "x86_64-linux", Builder: "/bin/b", Args: []string{"enter", "a b"},
		Env: map[string]string{"name": "x", "q": "say \"hi\"\n\tback\\slash"},
	}
	if err != nil || !reflect.DeepEqual(d, want) {
		t.Errorf("parseDerivation = %+v, %v", d, err)
	}
	for _, s := range []string{
		"", "Derive", "Derive(", "Derive()", drv[:len(drv)-1], drv[:50], `Derive("\`,
		"Derive" + strings.Repeat("[", 100),
	} {
		if d, err := parseDerivation(s); err == nil {
			t.Errorf("parseDerivation(%q) = %+v", s, d)
		}
	}
}

func FuzzDerivation(f *testing.F) {
	f.Add(drv)
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseDerivation(s); err == nil && len(d.Outputs) == 0 {
			t.Error("no outputs")
		}
	})
}

func TestBuilt(t *testing.T) {
	t.Setenv("NIX_REMOTE", "")
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	file := filepath.Join(dir, "x.drv")
	write(t, dir, "x.drv", `Derive([("out","`+out+`","","")],[],[],"s","b",[],[])`)
	if Built(file) {
		t.Error("an output that is not there is built")
	}
	write(t, dir, "out", "")
	if Built(file) {
		t.Error("what a failed builder left is built")
	}
	if err := os.Chtimes(out, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !Built(file) {
		t.Error("an output that is there is not built")
	}
	if !Built(filepath.Join(dir, "none.drv")) {
		t.Error("a derivation that cannot be read counts as built")
	}
}
