package scaffold

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/nixexprs"
)

var bundled = apps.New(nixexprs.FS)

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
		if file, _, err := Adopt(dir, bundled); file != "" || err != nil {
			t.Errorf("an empty directory: %q, %v", file, err)
		}
		if err := os.WriteFile(filepath.Join(dir, mark), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		file, next, err := Adopt(dir, bundled)
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
		if _, _, err := Adopt(dir, bundled); !errors.As(err, &there) {
			t.Errorf("%s, twice: %v", mark, err)
		}
	}
}

// What an interpreter runs gets its packages, and its own files; guesses are called so. Sure are marks that come before
// a Makefile's.
func TestInterpret(t *testing.T) {
	for _, c := range []struct {
		files    map[string]string
		sure     bool
		args     []string
		packages []string
		ports    int
		comment  string
	}{
		{files: map[string]string{"app.py": "", "test.py": ""}, args: []string{"/srv/app.py"}, packages: []string{"python3"}},
		{files: map[string]string{"only.py": ""}, args: []string{"/srv/only.py"}, packages: []string{"python3"}},
		{files: map[string]string{"a.py": "", "b.py": ""}},
		{files: map[string]string{"my app.py": ""}},
		{files: map[string]string{
			"package.json": `{"main": "a\"]\nports = [1]\nx = [\"/b.js"}`, "a\"]\nports = [1]\nx = [\"/b.js": "",
		}, sure: true},
		{files: map[string]string{"app.py": ""}, sure: true},
		{
			files: map[string]string{"app.py": "app = Flask(__name__)", "requirements.txt": "# web\nFlask>=2\nPy_Yaml\nflask\n"},
			sure:  true, args: []string{"-m", "flask", "--app", "/srv/app.py", "run", "--host", "0.0.0.0"}, ports: 5000,
			packages: []string{"python3", "python3-flask", "python3-py-yaml"}, comment: "# guesses, from requirements.txt",
		},
		{
			files: map[string]string{"app.py": "app = Flask(__name__)\napp.run()"}, args: []string{"/srv/app.py"},
			packages: []string{"python3"},
		},
		{
			files: map[string]string{"manage.py": "", "x.py": ""}, sure: true, ports: 8000,
			args:     []string{"/srv/manage.py", "runserver", "--noreload", "0.0.0.0:8000"},
			packages: []string{"python3", "python3-django"},
		},
		{
			files: map[string]string{
				"package.json": `{"main": "lib/x.js", "scripts": {"start": "node ./srv.js"}, "dependencies": {"express": "1"}}`,
				"srv.js":       "", "index.js": "",
			},
			sure: true, args: []string{"/srv/srv.js"}, packages: []string{"nodejs"}, comment: "npm install",
		},
		{
			files: map[string]string{"package.json": `{"main": "lib/x.js"}`, "lib/x.js": ""}, sure: true,
			args: []string{"/srv/lib/x.js"}, packages: []string{"nodejs"},
		},
		{files: map[string]string{"package.json": "no JSON"}, sure: true},
		{
			files: map[string]string{"Gemfile": "gem 'sinatra', '~> 3'\n  gem \"rack\"\n#gem 'no'\n", "app.rb": ""},
			sure:  true, args: []string{"/srv/app.rb"}, packages: []string{"ruby", "ruby-sinatra", "ruby-rack"},
			comment: "# guesses, from Gemfile",
		},
		{
			files: map[string]string{"public/index.php": ""}, packages: []string{"php-cli"}, ports: 8080,
			args: []string{"-S", "0.0.0.0:8080", "-t", "/srv/public"},
		},
		{files: map[string]string{"x.pl": ""}, args: []string{"/srv/x.pl"}, packages: []string{"perl"}},
		{
			files: map[string]string{"pom.xml": "", "target/x.jar": ""}, args: []string{"-jar", "/srv/target/x.jar"},
			packages: []string{"openjdk-17-jre-headless"},
		},
		{files: map[string]string{"pom.xml": ""}},
		{files: map[string]string{"index.html": ""}, packages: []string{"busybox", "base-files", "base-passwd"}, ports: 8080},
	} {
		here := fstest.MapFS{}
		for name, text := range c.files {
			here[name] = &fstest.MapFile{Data: []byte(text)}
		}
		text, err := interpret(bundled, here, "x", c.sure)
		if err != nil || (text == "") != (c.packages == nil) {
			t.Errorf("%v: %v, %q", c.files, err, text)
		}
		if text == "" {
			continue
		}
		m, err := manifest.Parse([]byte(text), manifest.Place{Base: "x", FS: here})
		switch {
		case err != nil:
			t.Errorf("%v: %v\n%s", c.files, err, text)
		case c.args != nil && !slices.Equal(m.Args, c.args), !slices.Equal(m.Root.Packages, c.packages),
			len(m.Ports) > 0 != (c.ports > 0) || c.ports > 0 && m.Ports[0].Host != c.ports,
			!strings.Contains(text, c.comment), len(m.Files) != 1 || m.Files[0] != (manifest.Copied{Guest: "/srv", Host: "."}):
			t.Errorf("%v:\n%s", c.files, text)
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

// Who builds an image can run it.
func TestForeignContainer(t *testing.T) {
	err := foreign("d", fstest.MapFS{"Dockerfile": &fstest.MapFile{}})
	var u *Unknown
	if !errors.As(err, &u) || !strings.Contains(u.Hint(), "ukl run docker-archive:x.tar") {
		t.Errorf("%v", err)
	}
	err = foreign("d", fstest.MapFS{"pom.xml": &fstest.MapFile{}})
	if !errors.As(err, &u) || strings.Contains(u.Hint(), "docker") {
		t.Errorf("%v", err)
	}
}

// A Go module's program is the module itself, or in cmd.
func TestMainPackage(t *testing.T) {
	for file, want := range map[string]string{
		"main.go": ".", "cmd/tool/main.go": "./cmd/tool", "pkg/x.go": ".", "cmd/$(touch x)/main.go": ".",
		"cmd/a\nb/main.go": ".",
	} {
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
		{automake, map[string]string{"a\"]\nports = [1]\nx = [\"/Makefile.am": "bin_PROGRAMS = app"}, ""},
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
