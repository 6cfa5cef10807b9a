// Package scaffold makes a small application to begin with: a ukl.toml, a source, tests. It writes all files or none,
// and never over one that is there. The directory flake is what `nix flake init` makes of it, see flake.nix.
package scaffold

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/app/manifest"
	"ukl/internal/cli/exit"
)

//go:embed all:files
var files embed.FS

const folder = "files"

// Languages are those that there are samples of.
func Languages() []string {
	var names []string
	entries, _ := files.ReadDir(folder) // an embedded directory can be read
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Next is what must be done before such an application can run; "" is nothing.
func Next(language, name string) string {
	if language == "go" {
		return "CGO_ENABLED=0 go build -o " + name + " ."
	}
	return ""
}

// There is a file that would have been written over.
type There struct {
	File   string
	sample bool // it is one of a sample's
}

func (e *There) Error() string { return e.File + " exists already" }

// ExitCode is the code of a command that this ends.
func (*There) ExitCode() exit.Code { return exit.No }

// Hint is the line that helps.
func (e *There) Hint() string {
	if e.sample && filepath.Base(e.File) != manifest.File {
		return "nothing was written; without --lang, `ukl init` writes a ukl.toml for what is there"
	}
	return "nothing was written; name another directory"
}

// Write makes an application in dir, which need not exist, and returns the files.
func Write(dir, language string) ([]string, error) {
	if !slices.Contains(Languages(), language) {
		return nil, fmt.Errorf("--lang %q: want %s", language, strings.Join(Languages(), ", "))
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	name := manifest.NameOf(filepath.Base(abs))
	from := path.Join(folder, language)
	entries, err := files.ReadDir(from)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, e := range entries {
		b, err := files.ReadFile(path.Join(from, e.Name()))
		if err != nil {
			return nil, err
		}
		// the go command would take the names without it for its own
		to := filepath.Join(dir, strings.TrimSuffix(e.Name(), ".txt"))
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return nil, &There{File: to, sample: true}
		}
		texts[to] = strings.ReplaceAll(string(b), "NAME", name)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var written []string
	for to, text := range texts {
		if err := create(to, text); err != nil {
			for _, w := range written {
				os.Remove(w)
			}
			return nil, err
		}
		written = append(written, to)
	}
	slices.Sort(written)
	return written, nil
}

// create writes a file that must not be there.
func create(file, text string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &There{File: file, sample: true}
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(file)
		return err
	}
	return nil
}
