package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/host/regular"
)

// way is how the programs of a kind of directory are made.
type way struct {
	marks []string // files, or patterns for them, of which one is there
	lines string   // of the ukl.toml; PROGRAM stands for what is built
	usual string   // the program, where no recipe names one; NAME stands for the application's name
	names recipe   // that may name it
	next  string
}

// programLine is the line of a way that says what it builds.
const programLine = "program = \"PROGRAM\""

// pinsAdd is what the packages of a new ukl.toml need.
const pinsAdd = "ukl pins add"

// head is the first line of a ukl.toml for what is there.
const head = "# What these keys mean, and which others there are: docs/ukl-toml.md of ukl.\n"

// ways come in the order in which they are looked for: a directory with a configure script has sources, too, and of a
// configure script and cmake the first needs no more packages.
var ways = []way{
	{[]string{"configure"}, `build = ["./configure", "make"]
program = "PROGRAM"
`, "NAME", automake, ""},
	{[]string{"CMakeLists.txt"}, `packages = ["cmake"]
build = ["cmake -B out -DCMAKE_BUILD_TYPE=Release .", "cmake --build out"]
program = "PROGRAM"
`, "out/NAME", cmakeLists, pinsAdd},
	{[]string{"meson.build"}, `packages = ["meson", "ninja-build"]
build = ["meson setup out --buildtype=release", "ninja -C out"]
program = "PROGRAM"
`, "out/NAME", mesonBuild, pinsAdd},
	{[]string{"configure.ac", "configure.in"}, `packages = ["autoconf", "automake", "libtool"]
build = ["autoreconf -fi", "./configure", "make"]
program = "PROGRAM"
`, "NAME", automake, pinsAdd},
	{[]string{"Cargo.toml"}, `# Crates that it needs must be in the directory: cargo vendor
packages = ["cargo"]
build = ["CARGO_HOME=/tmp RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --frozen"]
program = "PROGRAM"
`, "target/release/NAME", cargoToml, pinsAdd},
	{[]string{"go.mod"}, `# Your own Go compiles it: CGO_ENABLED=0 go build -o NAME PACKAGE
prebuilt = "NAME"
`, "NAME", recipe{}, "CGO_ENABLED=0 go build -o NAME PACKAGE"},
}

// general come after what is sure to be for an interpreter: Makefiles of other languages' projects call their tools.
var general = []way{
	{[]string{"Makefile", "makefile", "GNUmakefile"}, `build = ["make"]
program = "PROGRAM"
`, "NAME", makefile, ""},
	{manifest.DefaultSources(), "", "", recipe{}, ""},
}

// version is what the directory of a release has behind its name.
var version = regexp.MustCompile(`-v?[0-9]+(\.[0-9]+)+.*$`)

// Adopt writes a ukl.toml for what is in dir already: sources, or a build by one of the usual tools. It returns its
// path, and what must be done before the application can run. "" is no path: there is nothing. Files of which Adopt
// can make no application are an Unknown error. The catalogue has the interpreters.
func Adopt(dir string, c apps.Catalogue) (file, next string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	file = filepath.Join(dir, manifest.File)
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return "", "", &There{File: file}
	}
	here := regular.Dir(dir)
	name := manifest.NameOf(version.ReplaceAllString(filepath.Base(abs), ""))
	next, text := built(ways, here, name)
	if text == "" {
		next = pinsAdd
		text, err = interpret(c, here, name, true)
	}
	if text == "" && err == nil {
		next, text = built(general, here, name)
	}
	if text == "" && err == nil {
		next = pinsAdd
		text, err = interpret(c, here, name, false)
	}
	switch {
	case err != nil:
		return "", "", err
	case text == "":
		return "", "", foreign(dir, here)
	}
	return file, next, create(file, text)
}

// built returns the ukl.toml of the first of the ways that the directory has marks of, and what must be done before the
// application can run. Without one the text is "".
func built(ways []way, here fs.FS, name string) (next, text string) {
	for _, w := range ways {
		if found := matches(here, w.marks); len(found) > 0 {
			return w.describe(here, name, found)
		}
	}
	return "", ""
}

// describe returns the ukl.toml of an application with this name, and what must be done before it can run. Found are
// the marks.
func (w way) describe(here fs.FS, name string, found []string) (next, text string) {
	text = head + "name = \"NAME\"\n" + w.lines
	if w.lines == "" {
		text += fmt.Sprintf("sources = [\"%s\"]\n", strings.Join(found, `", "`))
	}
	program := w.names.program(here, name)
	if program == "" {
		program = w.usual
		text = strings.Replace(text, programLine, "# a guess: write here what the build makes\n"+programLine, 1)
	}
	program = strings.ReplaceAll(program, "NAME", name)
	fill := strings.NewReplacer("PROGRAM", program, "NAME", name, "PACKAGE", mainPackage(here))
	return fill.Replace(w.next), fill.Replace(text)
}

// matches are those of the patterns that a file has.
func matches(here fs.FS, patterns []string) []string {
	var found []string
	for _, p := range patterns {
		if names, _ := fs.Glob(here, p); len(names) > 0 { // the patterns are right
			found = append(found, p)
		}
	}
	return found
}
