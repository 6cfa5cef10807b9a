package scaffold

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ukl/internal/app/manifest"
)

// Every sample is a valid application with tests.
func TestWrite(t *testing.T) {
	if got := Languages(); !slices.Equal(got, []string{"c", "c++", "go"}) {
		t.Errorf("Languages = %q", got)
	}
	for _, l := range Languages() {
		dir := filepath.Join(t.TempDir(), "my app")
		files, err := Write(dir, l)
		if err != nil || len(files) < 2 {
			t.Fatalf("%s: %q, %v", l, files, err)
		}
		if Next(l, "x") != "" {
			if err := os.WriteFile(filepath.Join(dir, "my-app"), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		m, err := manifest.Load(dir)
		if err != nil || m.Name != "my-app" || len(m.Tests) != 2 {
			t.Errorf("%s: %+v, %v", l, m, err)
		}
		var there *There
		if _, err := Write(dir, l); !errors.As(err, &there) {
			t.Errorf("%s over itself: %v", l, err)
		}
	}
	if _, err := Write(t.TempDir(), "cobol"); err == nil {
		t.Error("a sample in COBOL")
	}
}

// What is adopted is a valid manifest.
func TestAdopt(t *testing.T) {
	for _, mark := range []string{
		"CMakeLists.txt", "configure", "configure.ac", "meson.build", "Cargo.toml", "go.mod", "GNUmakefile", "x.cpp",
	} {
		dir := filepath.Join(t.TempDir(), "my app-1.11.1-rc1")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if file, _, err := Adopt(dir); file != "" || err != nil {
			t.Errorf("an empty directory: %q, %v", file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, mark), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		file, next, err := Adopt(dir)
		if err != nil {
			t.Errorf("%s: %v", mark, err)
		}
		guess := mark != "x.cpp" && mark != "go.mod"
		if text, _ := os.ReadFile(file); strings.Contains(string(text), "# a guess") != guess {
			t.Errorf("%s: where the program will be is not known:\n%s", mark, text)
		}
		if mark == "go.mod" {
			if next != "CGO_ENABLED=0 go build -o my-app ." {
				t.Errorf("go.mod: next is %q", next)
			}
			if err := os.WriteFile(filepath.Join(dir, "my-app"), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		m, err := manifest.Load(dir)
		if err != nil || m.Name != "my-app" || (len(m.Build) > 0) == (mark == "x.cpp" || mark == "go.mod") {
			t.Errorf("%s: %+v, %v", mark, m, err)
		}
		var there *There
		if _, _, err := Adopt(dir); !errors.As(err, &there) {
			t.Errorf("%s, twice: %v", mark, err)
		}
	}
}

// What cannot be built is refused by name; what every directory may have is nothing.
func TestForeign(t *testing.T) {
	for _, c := range []struct {
		files []string
		want  string
	}{
		{[]string{"app.py", "Dockerfile", "README.md"}, `d has app.py: Python, which`},
		{[]string{"package.json", "index.js"}, `d has package.json, index.js: JavaScript, which`},
		{[]string{"pom.xml"}, `d has pom.xml: Java, which`},
		{[]string{"Dockerfile"}, `d has Dockerfile: a container's image, which`},
		{[]string{"data.bin"}, "d has data.bin, which `ukl init` does not know"},
		{[]string{".gitignore", "LICENSE", "README.md", "docs/x"}, ""},
		{nil, ""},
	} {
		here := fstest.MapFS{}
		for _, f := range c.files {
			here[f] = &fstest.MapFile{}
		}
		got := ""
		if err := foreign("d", here); err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%q: %q, want %q", c.files, got, c.want)
		}
	}
}

// A Go module's program is the module itself, or in cmd.
func TestMainPackage(t *testing.T) {
	for file, want := range map[string]string{"main.go": ".", "cmd/tool/main.go": "./cmd/tool", "pkg/x.go": "."} {
		if got := mainPackage(fstest.MapFS{file: &fstest.MapFile{}}); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

// Recipes say where the program will be: the one of the application's name, else the first.
func TestProgram(t *testing.T) {
	for _, c := range []struct {
		r     recipe
		files map[string]string
		want  string
	}{
		{cmakeLists, map[string]string{"CMakeLists.txt": "project(x)\nadd_executable(tool a.c)\n  ADD_EXECUTABLE( app\n main.c)"}, "out/app"},
		{cmakeLists, map[string]string{
			"CMakeLists.txt":     "add_subdirectory(src)",
			"src/CMakeLists.txt": "add_executable(server main.c)",
		}, "out/src/server"},
		{cmakeLists, map[string]string{"CMakeLists.txt": "add_executable(${NAME} main.c)\n# add_executable(no x.c)"}, ""},
		{cmakeLists, map[string]string{
			"tests/CMakeLists.txt": "add_executable(app x.c)",
			".git/CMakeLists.txt":  "add_executable(app x.c)",
		}, ""},
		{automake, map[string]string{"src/Makefile.am": "noinst_PROGRAMS = gen\nsbin_PROGRAMS = helper \\\n\tapp $(MORE)\napp_SOURCES = main.c"}, "src/app"},
		{automake, map[string]string{"Makefile.am": "bin_PROGRAMS = one\nbin_PROGRAMS += two"}, "one"},
		{automake, map[string]string{"Makefile.am": "SUBDIRS = src"}, ""},
		{mesonBuild, map[string]string{
			"meson.build":     "project('x', 'c')\n# executable('no', 'x.c')\nsubdir('src')",
			"src/meson.build": "tool = executable(\n  'tool',\n  'x.c')",
		}, "out/src/tool"},
		{makefile, map[string]string{"Makefile": "CC = gcc\nTARGET := tool\n", "src/Makefile": "BIN = app\n"}, "tool"},
		{makefile, map[string]string{"Makefile": "TARGET = $(NAME)\nBINARIES = a b\n"}, ""},
		{cargoToml, map[string]string{
			"Cargo.toml":   "[package]\nname = \"tool\"\n[[bin]]\npath = \"x\"\nname = \"app\"\n[[example]]\nname = \"no\"",
			"b/Cargo.toml": "[package]\nname = \"other\"",
		}, "target/release/app"},
		{cargoToml, map[string]string{"Cargo.toml": "[workspace]\nmembers = []\n[lib]\nname = \"lib\""}, ""},
	} {
		here := fstest.MapFS{}
		for name, text := range c.files {
			here[name] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := c.r.program(here, "app"); got != c.want {
			t.Errorf("%q: %q, not %q", c.files, got, c.want)
		}
	}
}

// One file that is there is enough for none to be written.
func TestAllOrNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.c"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Write(dir, "c"); err == nil {
		t.Error("main.c was written over")
	}
	left, _ := os.ReadDir(dir)
	if b, _ := os.ReadFile(filepath.Join(dir, "main.c")); string(b) != "mine" || len(left) != 1 {
		t.Errorf("main.c is %q, %d files", b, len(left))
	}
}
