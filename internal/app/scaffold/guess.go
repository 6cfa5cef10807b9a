package scaffold

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// recipe is a kind of file that names the programs of its directory.
type recipe struct {
	file  string         // or a pattern for it
	names *regexp.Regexp // its first group has names, apart by spaces
	out   string         // the directory below which programs come to lie as their recipes do in the source
	top   bool           // only the one of the top directory counts
}

var (
	cmakeLists = recipe{"CMakeLists.txt", regexp.MustCompile(`(?im)^[ \t]*add_executable\s*\(\s*([\w.+-]+)`), "out", false}
	automake   = recipe{"Makefile.am", regexp.MustCompile(`(?m)^s?bin_PROGRAMS[ \t]*\+?=[ \t]*((?:[^\n\\]|\\\n)*)`), "", false}
	mesonBuild = recipe{"meson.build", regexp.MustCompile(`(?m)^[^#\n]*\bexecutable[ \t]*\(\s*'([\w.+-]+)'`), "out", false}
	makefile   = recipe{"[Mm]akefile", regexp.MustCompile(`(?m)^(?:PROG|PROGRAM|BIN|BINARY|TARGET|EXE|EXECUTABLE)[ \t]*[:?]?=[ \t]*([\w.+-]+)[ \t]*$`), "", true}
	// Cargo builds all binaries below one directory.
	cargoToml = recipe{"Cargo.toml", regexp.MustCompile(`(?m)^\[\[?(?:package|bin)\]\]?\s(?:[^\[]*\n)?name[ \t]*=[ \t]*"([\w-]+)"`), "target/release", true}
)

// mainPackage is the package of a Go module that is its program: the module's own, else the first of cmd.
func mainPackage(here fs.FS) string {
	if own, _ := fs.Glob(here, "*.go"); len(own) > 0 {
		return "."
	}
	commands, _ := fs.Glob(here, "cmd/*/*.go")
	commands = slices.DeleteFunc(commands, func(file string) bool { return !plainPath(file) })
	if len(commands) > 0 {
		return "./" + path.Dir(commands[0])
	}
	return "."
}

// aside are directories whose programs are not what somebody wants to run.
var aside = regexp.MustCompile(`(?i)^(\..*|tests?|testing|bench.*|examples?|samples?|docs?|contrib|third[_-]?party|3rdparty|vendor|external|deps)$`)

const (
	deepest  = 4       // directories below the top that are looked into
	largest  = 1 << 20 // bytes of a recipe that is read
	mostSeen = 1000    // directories
)

var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]*$`)

// plainPath tells whether a path can stand in a ukl.toml, and in a command that somebody copies, as it is.
func plainPath(file string) bool {
	return !slices.ContainsFunc(strings.Split(file, "/"), func(name string) bool { return !plain.MatchString(name) })
}

// program is where the program of a source tree will be once it is built: the one with this name, else the first that a
// recipe has. "" is none. It is a guess: what a recipe computes is not seen.
func (r recipe) program(here fs.FS, name string) string {
	if r.names == nil {
		return ""
	}
	var found []string
	seen := 0
	_ = fs.WalkDir(here, ".", func(file string, e fs.DirEntry, err error) error { // what cannot be read has no programs
		switch {
		case err != nil:
			return nil
		case e.IsDir():
			skip := r.top || !plain.MatchString(e.Name()) || aside.MatchString(e.Name()) || strings.Count(file, "/") >= deepest
			if seen++; seen > mostSeen || file != "." && skip {
				return fs.SkipDir
			}
			return nil
		}
		if ok, _ := path.Match(r.file, e.Name()); !ok { // the patterns are right
			return nil
		}
		if fi, err := e.Info(); err != nil || !fi.Mode().IsRegular() || fi.Size() > largest {
			return nil
		}
		text, err := fs.ReadFile(here, file)
		if err != nil {
			return nil
		}
		for _, m := range r.names.FindAllStringSubmatch(string(text), -1) {
			for _, word := range strings.Fields(strings.ReplaceAll(m[1], "\\\n", " ")) {
				if plain.MatchString(word) {
					found = append(found, path.Join(r.out, path.Dir(file), word))
				}
			}
		}
		return nil
	})
	if i := slices.IndexFunc(found, func(p string) bool { return path.Base(p) == name }); i >= 0 {
		return found[i]
	}
	if len(found) == 0 {
		return ""
	}
	return found[0]
}
