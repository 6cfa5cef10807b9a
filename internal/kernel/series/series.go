// Package series keeps a series of patches in two forms: as files, one patch each, and as the commits of a git work
// tree on top of the source that they are for. Going from one form to the other and back changes no byte. What was not
// committed is never lost, nor written over. Commits also become mails, part by part with cover letters; none is sent.
package series

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
)

// Patch is one file of a series.
type Patch struct {
	Name string // as git names it: 0001-subject.patch
	Text []byte
}

// pattern is what a patch of a series is called. A series may have other files beside it: those are left alone.
var pattern = regexp.MustCompile(`^[0-9]{4}-.*\.patch$`)

// Empty says that a place has no series.
type Empty struct{ Dir string }

func (e *Empty) Error() string { return fmt.Sprintf("%s holds no patches (0001-*.patch)", e.Dir) }

// ExitCode is the code of a command that this ends.
func (*Empty) ExitCode() exit.Code { return exit.NoInput }

// Read returns the patches of a directory in the order of their names; name is its name in errors.
func Read(dir fs.FS, name string) ([]Patch, error) {
	entries, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, err
	}
	var list []Patch
	for _, e := range entries {
		if !pattern.MatchString(e.Name()) {
			continue
		}
		text, err := fs.ReadFile(dir, e.Name())
		if err != nil {
			return nil, err
		}
		list = append(list, Patch{e.Name(), text})
	}
	if len(list) == 0 {
		return nil, &Empty{name}
	}
	return list, nil
}

// Hash names the content of a series, in hexadecimal.
func Hash(list []Patch) string {
	h := sha256.New()
	for _, p := range list {
		fmt.Fprintf(h, "%d %s %d\n", len(p.Name), p.Name, len(p.Text))
		h.Write(p.Text)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Change is what writing a series did, or would do, to one file.
type Change struct {
	File string `json:"file"` // its name in the directory
	Kind Kind   `json:"kind"`
}

// Kind of a Change.
type Kind string

// Kinds of changes.
const (
	Added   Kind = "added"
	Changed Kind = "changed"
	Removed Kind = "removed"
)

// Compare lists what turns one series into another, by name.
func Compare(from, to []Patch) []Change {
	changes := []Change{}
	named := func(list []Patch, name string) *Patch {
		if i := slices.IndexFunc(list, func(p Patch) bool { return p.Name == name }); i >= 0 {
			return &list[i]
		}
		return nil
	}
	for _, p := range to {
		switch old := named(from, p.Name); {
		case old == nil:
			changes = append(changes, Change{p.Name, Added})
		case string(old.Text) != string(p.Text):
			changes = append(changes, Change{p.Name, Changed})
		}
	}
	for _, p := range from {
		if named(to, p.Name) == nil {
			changes = append(changes, Change{p.Name, Removed})
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int { return strings.Compare(a.File, b.File) })
	return changes
}

// Moved says that a directory holds another series than the one that a work tree was made from: it would be lost.
type Moved struct{ Dir string }

func (e *Moved) Error() string {
	return fmt.Sprintf("%s holds another series than the one that this work tree was made from", e.Dir)
}

// ExitCode is the code of a command that this ends.
func (*Moved) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (*Moved) Hint() string { return "git diff there shows what has changed; --overwrite replaces it" }

// Write makes the patches of a directory those of the list; the directory is made if need be. What is there already
// must be nothing, the same, or the series that expected names (see Hash); with an expected of "" it may be anything.
// Files appear whole, and what is no longer of the series goes last.
func Write(dir string, list []Patch, expected string) ([]Change, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	there, err := Read(os.DirFS(dir), dir)
	if none := (*Empty)(nil); errors.As(err, &none) {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	changes := Compare(there, list)
	if len(there) > 0 && len(changes) > 0 && expected != "" && Hash(there) != expected {
		return nil, &Moved{dir}
	}
	for _, c := range changes {
		if c.Kind == Removed {
			continue
		}
		p := list[slices.IndexFunc(list, func(p Patch) bool { return p.Name == c.File })]
		if err := atomicfile.File(filepath.Join(dir, p.Name), p.Text, 0o644); err != nil {
			return nil, err
		}
	}
	for _, c := range changes {
		if c.Kind == Removed {
			if err := os.Remove(filepath.Join(dir, c.File)); err != nil {
				return nil, err
			}
		}
	}
	return changes, nil
}
