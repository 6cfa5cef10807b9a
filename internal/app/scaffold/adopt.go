package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

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

// ways come in the order in which they are looked for: a directory with a configure script has sources, too, and of a
// configure script and cmake the first needs no more packages.
var ways = []way{
	{[]string{"configure"}, `build = ["./configure", "make"]
program = "PROGRAM"
`, "NAME", automake, ""},
	{[]string{"CMakeLists.txt"}, `packages = ["cmake"]
build = ["cmake -B out -DCMAKE_BUILD_TYPE=Release .", "cmake --build out"]
program = "PROGRAM"
`, "out/NAME", cmakeLists, "ukl pins add"},
	{[]string{"Makefile", "makefile", "GNUmakefile"}, `build = ["make"]
program = "PROGRAM"
`, "NAME", recipe{}, ""},
	{manifest.DefaultSources(), "", "", recipe{}, ""},
}

// version is what the directory of a release has behind its name.
var version = regexp.MustCompile(`-v?[0-9]+(\.[0-9]+)+.*$`)

// Adopt writes a ukl.toml for what is in dir already: sources, or a build by cmake, configure and make. It returns its
// path, and what must be done before the application can run. "" is no path: there is nothing that it knows.
func Adopt(dir string) (file, next string, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", "", err
	}
	file = filepath.Join(dir, manifest.File)
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return "", "", &There{file}
	}
	here := regular.Dir(dir)
	name := manifest.NameOf(version.ReplaceAllString(filepath.Base(abs), ""))
	for _, w := range ways {
		var found []string
		for _, m := range w.marks {
			if names, _ := fs.Glob(here, m); len(names) > 0 { // the patterns are right
				found = append(found, m)
			}
		}
		if len(found) == 0 {
			continue
		}
		text := "# What these keys mean, and which others there are: docs/ukl-toml.md of ukl.\nname = \"NAME\"\n" + w.lines
		if w.lines == "" {
			text += fmt.Sprintf("sources = [\"%s\"]\n", strings.Join(found, `", "`))
		}
		program := strings.ReplaceAll(w.usual, "NAME", name)
		if w.names.file != "" {
			if guess := w.names.program(here, name); guess != "" {
				program = guess
			}
		}
		return file, w.next, create(file, strings.NewReplacer("NAME", name, "PROGRAM", program).Replace(text))
	}
	return "", "", nil
}
