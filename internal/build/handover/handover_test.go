package handover

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/pin/pins"
	"ukl/internal/report/sbom"
)

// contents are those of an image whose program holds nothing of any package, so nothing has to be fetched.
func contents(t *testing.T) Contents {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"config": "CONFIG_X=y\n", "nixexprs/pins.json": "{}\n",
		"nixexprs/linux/patches/0001.patch": "patch\n", "objects/main.c.o": "object\n",
		"nixexprs/apps/hello/hello.c": "int hello;\n", "nixexprs/apps/https/https.c": "int https;\n",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	return Contents{
		App: apps.App{
			Manifest: &manifest.Manifest{Name: "own"}, Short: "own", Dir: dir,
			Files: fstest.MapFS{"main.c": {Data: []byte("int main;\n")}},
		},
		List: sbom.Image{
			Name: "own", SHA256: strings.Repeat("ab", 32), Version: "1", LinkKnown: true,
			Components: []sbom.Component{{Name: "own", Role: sbom.Program}},
		},
		Config:      filepath.Join(dir, "config"),
		Expressions: filepath.Join(dir, "nixexprs"),
		Objects:     filepath.Join(dir, "objects"),
		Builder: fstest.MapFS{
			"go.mod": {Data: []byte("module ukl\n")}, "go.sum": {}, "LICENSE": {Data: []byte("MIT\n")},
			"LICENSES/MIT.txt": {}, "internal/build/sandbox/sandbox.go": {}, "internal/pin/deb/deb.go": {},
			"internal/pin/tree/tree.go": {}, "internal/pin/toolchain/toolchain.go": {},
			"internal/pin/toolchain/toolchaintest/archive.go": {}, "cmd/ukl/main.go": {},
			"cmd/stage0/main.go":      {Data: []byte("package main\n")},
			"cmd/stage0/main_test.go": {Data: []byte("package main\n")},
			"cmd/stage0/testdata/x":   {Data: []byte("x\n")},
		},
		Hash: "0123",
	}
}

func written(t *testing.T, c Contents) (dir string, r *Result) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "deep", "own-source")
	r, err := Write(context.Background(), dir, c, Options{Pins: pins.Options{Local: true}})
	if err != nil {
		t.Fatal(err)
	}
	return dir, r
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// All is there, its sums are right, and the README says what is not there.
func TestWrite(t *testing.T) {
	dir, r := written(t, contents(t))
	for name, want := range map[string]string{
		"config": "CONFIG_X=y\n", "nixexprs/linux/patches/0001.patch": "patch\n", "objects/main.c.o": "object\n",
	} {
		if got := read(t, dir, name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, name := range []string{"sbom.spdx.json", "sbom.cdx.json"} {
		if !strings.Contains(read(t, dir, name), `"own"`) {
			t.Errorf("%s does not name the image", name)
		}
	}
	cmd := exec.Command("sha256sum", "--check", "--quiet", sumsFile)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if lines := strings.Count(read(t, dir, sumsFile), "\n"); lines != r.Files || r.Files != 16 || r.Bytes == 0 {
		t.Errorf("%d sums, %+v", lines, r)
	}
	text := read(t, dir, "README")
	for _, want := range []string{
		"image own", "expressions 0123", "objects/ ", "ukl source --with-app adds them",
		"ukl source --tools adds them", "ukl build DIR",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the README does not say %q:\n%s", want, text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, appDir)); err == nil {
		t.Error("the application's sources are there, and nobody asked for them")
	}
	if left, _ := filepath.Glob(dir + ".*"); len(left) != 0 {
		t.Errorf("%q is left", left)
	}
}

// What is asked for in addition is there; what nobody knows is said.
func TestWriteMore(t *testing.T) {
	c := contents(t)
	c.WithApp, c.Objects, c.List.LinkKnown = true, "", false
	c.List.Components = append(c.List.Components, sbom.Component{Name: "example.org/m", Version: "v1", Role: sbom.Module})
	dir, _ := written(t, c)
	if got := read(t, dir, "app/main.c"); got != "int main;\n" {
		t.Errorf("%q", got)
	}
	text := read(t, dir, "README")
	for _, want := range []string{
		"app/ ", "ukl build ./app", "neither the program nor a linker's map names them",
		"module example.org/m v1", "ukl did not link its program",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the README does not say %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "--with-app adds") || strings.Contains(text, "objects/ ") {
		t.Errorf("the README tells of what is not so:\n%s", text)
	}
}

// The archive of [source] is handed on with the patches that were applied to it, whoever has the rest of the
// application's directory.
func TestWriteArchive(t *testing.T) {
	text := []byte("an archive")
	file := filepath.Join(t.TempDir(), "x-1.0.tar.gz")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	own := pins.Own{Archive: &pins.Archive{URL: "file://" + file, SHA256: hex.EncodeToString(sum[:])}}
	c := contents(t)
	c.App.Files = fstest.MapFS{"patches/fix.patch": {Data: []byte("a patch")}}
	c.Pins = own.All()
	c.List.Components = append(c.List.Components, sbom.Component{
		Name: "x-1.0.tar.gz", SHA256: own.Archive.SHA256, Role: sbom.Source,
		Patches: []sbom.Patch{{File: "patches/fix.patch"}},
	})
	dir, r := written(t, c)
	want := []string{"archives/x-1.0.tar.gz", "archives/patches/fix.patch"}
	if len(r.Packages) != 1 || !slices.Equal(r.Packages[0].Files, want) {
		t.Fatalf("%+v", r.Packages)
	}
	if read(t, dir, want[0]) != string(text) || read(t, dir, want[1]) != "a patch" {
		t.Error("another archive, or another patch")
	}
}

// Of ukl's own applications only the one that was asked for is handed on, and none with an application of one's own.
func TestWriteOnlyTheApplication(t *testing.T) {
	hello, https := "nixexprs/apps/hello/hello.c", "nixexprs/apps/https/https.c"
	dir, _ := written(t, contents(t))
	for _, name := range []string{hello, https} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there, and the image holds nothing of it", name)
		}
	}
	c := contents(t)
	c.App.Short, c.App.Dir, c.App.Bundled = "hello", "", true
	dir, _ = written(t, c)
	if got := read(t, dir, hello); got != "int hello;\n" {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, https)); err == nil {
		t.Errorf("%s is there beside %s", https, hello)
	}
	text := read(t, dir, "README")
	if !strings.Contains(text, "ukl build hello") || !strings.Contains(text, "nixexprs/apps/hello/") ||
		strings.Contains(text, "The application's own sources. Its author") {
		t.Errorf("the README does not say where the application is:\n%s", text)
	}
}

// The source of the first builder is there where the expressions look for it, without its tests.
func TestWriteBuilder(t *testing.T) {
	dir, _ := written(t, contents(t))
	if got := read(t, dir, "cmd/stage0/main.go"); got != "package main\n" {
		t.Errorf("%q", got)
	}
	if got := read(t, dir, "go.mod"); got != "module ukl\n" {
		t.Errorf("%q", got)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "cmd/stage0")); err != nil || len(files) != 1 {
		t.Errorf("a test is there: %v, %v", files, err)
	}
	for _, name := range []string{"internal/pin/toolchain/toolchaintest", "cmd/ukl"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s is there, and begins no build", name)
		}
	}
	if text := read(t, dir, "README"); !strings.Contains(text, "cmd/stage0") ||
		!strings.Contains(text, `--argstr checkout "$PWD"`) {
		t.Errorf("the README does not name the builder:\n%s", text)
	}
}

// begun leaves what a call that was interrupted leaves, with a file of that request in it.
func begun(t *testing.T, dir string, c Contents) string {
	t.Helper()
	c.Config = filepath.Join(t.TempDir(), "none") // so that it fails when much is done
	if _, err := Write(context.Background(), dir, c, Options{}); err == nil {
		t.Fatal("nothing stopped it")
	}
	file := filepath.Join(dir+".part", "sources", "x_1", "x.dsc")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("fetched\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return "sources/x_1/x.dsc"
}

// What an interrupted call fetched stays for the same request. Another request, of another application or with other
// options, begins with an empty folder.
func TestWriteAfterAnother(t *testing.T) {
	for name, change := range map[string]func(*Contents){
		"the same":               func(*Contents) {},
		"another application":    func(c *Contents) { c.List.Name = "other" },
		"another image":          func(c *Contents) { c.List.SHA256 = strings.Repeat("cd", 32) },
		"other expressions":      func(c *Contents) { c.Hash = "4567" },
		"with the application":   func(c *Contents) { c.WithApp = true },
		"with tools":             func(c *Contents) { c.WithTools = true },
		"another ukl":            func(c *Contents) { c.List.Version = "2" },
		"another snapshot":       func(c *Contents) { c.Snapshots = []string{"20260101T000000Z"} },
		"without object files":   func(c *Contents) { c.Objects = "" },
		"more is in the program": func(c *Contents) { c.List.LinkKnown = false },
	} {
		c := contents(t)
		dir := filepath.Join(t.TempDir(), "own-source")
		left := begun(t, dir, c)
		change(&c)
		var said []string
		_, err := Write(context.Background(), dir, c, Options{Step: func(s string) { said = append(said, s) }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		_, err = os.Stat(filepath.Join(dir, left))
		if there := err == nil; there != (name == "the same") {
			t.Errorf("%s: what the other call left is there: %v", name, there)
		}
		afresh := slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "another request") })
		if afresh != (name != "the same") {
			t.Errorf("%s: %q", name, said)
		}
		if strings.Contains(read(t, dir, sumsFile), requestFile) {
			t.Errorf("%s: the mark of the request was handed on", name)
		}
		if files, _ := os.ReadDir(filepath.Dir(dir)); len(files) != 1 {
			t.Errorf("%s: %v", name, files)
		}
	}
}

// A folder FOLDER.part that no call of ukl made belongs to somebody: nothing is taken over, and nothing is deleted.
func TestWriteBesideAnotherFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "own-source")
	mine := filepath.Join(dir+".part", "mine")
	if err := os.Mkdir(dir+".part", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Free(dir); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(mine, []byte("mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var there *There
	if _, err := Write(context.Background(), dir, contents(t), Options{}); !errors.As(err, &there) ||
		there.Dir != dir+".part" {
		t.Errorf("%v", err)
	}
	if read(t, dir+".part", "mine") != "mine\n" {
		t.Error("the folder was changed")
	}
}

// A folder that is there is not touched.
func TestWriteOver(t *testing.T) {
	dir := t.TempDir()
	var there *There
	if _, err := Write(context.Background(), dir, contents(t), Options{}); !errors.As(err, &there) {
		t.Errorf("%v", err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("%v", files)
	}
}

// The source of a package that is in the image is wanted, once for all that is made from it; a tool's only if asked
// for.
func TestWanted(t *testing.T) {
	c := Contents{List: sbom.Image{Components: []sbom.Component{
		{Name: "linux-source-6.1", Source: "linux", SourceVersion: "1", Role: sbom.Source},
		{Name: "libstdc++-12-dev", Source: "gcc-12", SourceVersion: "12", Role: sbom.Inlined},
		{Name: "libgcc-12-dev", Source: "gcc-12", SourceVersion: "12", Role: sbom.Linked},
		{Name: "libx-dev", Source: "x", SourceVersion: "1", Role: sbom.Possible},
		{Name: "cmake", Source: "cmake", SourceVersion: "3", Role: sbom.Tool},
		{Name: "tzdata", Source: "tzdata", SourceVersion: "1", Role: sbom.Data},
		{Name: "server", Role: sbom.Program},
	}}}
	for tools, want := range map[bool]string{false: "gcc-12 tzdata x", true: "cmake gcc-12 tzdata x"} {
		c.WithTools = tools
		var got []string
		for _, p := range c.wanted() {
			got = append(got, p.Name)
			if p.Name == "gcc-12" && !slices.Equal(p.Of, []string{"libstdc++-12-dev", "libgcc-12-dev"}) {
				t.Errorf("%+v", p)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("tools %v: %q", tools, got)
		}
	}
}

// What others have made of what nobody has told is not in the folder, and its README says so.
func TestReadmeOfContainer(t *testing.T) {
	c := contents(t)
	dir, _ := written(t, c)
	if strings.Contains(read(t, dir, "README"), "container image") {
		t.Error("there is no container image")
	}
	c.List.Components = append(c.List.Components, sbom.Component{
		Name: "nginx", SHA256: strings.Repeat("cd", 32), Role: sbom.Data, Container: true,
	})
	dir, _ = written(t, c)
	if want := "the container image nginx, sha256:cdcd"; !strings.Contains(read(t, dir, "README"), want) {
		t.Errorf("README does not say %q", want)
	}
}
