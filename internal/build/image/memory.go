package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/build/stage"
	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/regular"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// memo is the last result of one attribute for one application. Only the last is kept: Nix finds older ones itself, a
// little later.
type memo struct{ Key, Path string }

// folder is what belongs to one application, named after its place.
func (b *Builder) folder(a apps.App) string {
	place := a.Place()
	if a.Bundled {
		place = "bundled:" + a.Short
	}
	if a.Entry != "" {
		place += " " + string(a.Entry)
	}
	if a.Flavour != "" {
		place += " " + string(a.Flavour)
	}
	sum := sha256.Sum256([]byte(place))
	return filepath.Join(b.Cache, "images", a.Name+"-"+hex.EncodeToString(sum[:6]))
}

// root is the link that keeps a result from Nix's garbage collection.
func (b *Builder) root(a apps.App, attr string) string { return filepath.Join(b.folder(a), attr) }

func (b *Builder) memo(a apps.App, attr string) string { return b.root(a, attr) + memoSuffix }

const memoSuffix = ".json"

// recall returns the store path that a memo has for key, "" if it is not known.
func recall(file, key string) string {
	text, err := os.ReadFile(file)
	var m memo
	if err != nil || json.Unmarshal(text, &m) != nil || m.Key != key {
		return ""
	}
	return m.Path
}

// remember is best effort: without it the next run asks Nix.
func remember(file, key, path string) {
	text, err := json.Marshal(memo{key, path})
	if err != nil {
		return
	}
	_ = atomicfile.File(file, text, 0o644)
}

// remember keeps the path of an application's attribute, and where the application is.
func (b *Builder) remember(a apps.App, attr, key, path string) {
	remember(b.memo(a, attr), key, path)
	if place := a.Place(); place != "" && !exists(b.root(a, placeFile)) {
		_ = os.WriteFile(b.root(a, placeFile), []byte(place), 0o644)
	}
}

// placeFile is the file with the place of an application that did not come along.
const placeFile = "place"

// Forget drops what is remembered of applications that are not there any more, and returns their names; of all, and the
// shared stages, if all is set. What they were built from and into is then for Nix to collect. pretend drops nothing.
func (b *Builder) Forget(all, pretend bool) ([]string, error) {
	folders, err := filepath.Glob(filepath.Join(b.Cache, "images", "*"))
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, f := range folders {
		if where, err := os.ReadFile(filepath.Join(f, placeFile)); !all && (err != nil || exists(string(where))) {
			continue
		}
		name := filepath.Base(f)
		names = append(names, name[:max(0, strings.LastIndexByte(name, '-'))])
		if pretend {
			continue
		}
		if err := os.RemoveAll(f); err != nil {
			return names, err
		}
	}
	if all && !pretend {
		return names, os.RemoveAll(filepath.Join(b.Cache, stages))
	}
	return names, nil
}

// Places are the directories and programs that were built and are still there.
func (b *Builder) Places() []string {
	var places []string
	files, _ := filepath.Glob(filepath.Join(b.Cache, "images", "*", placeFile)) // the pattern is a good one
	for _, f := range files {
		if where, err := os.ReadFile(f); err == nil && exists(string(where)) {
			places = append(places, string(where))
		}
	}
	return places
}

// key names everything that an image is made from: the expressions, and with them the lock; the first builder; the
// application's files.
func (b *Builder) key(ctx context.Context, a apps.App) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%s %s\n", nixexprs.Hash(), stage.Builder())
	var err error
	switch {
	case a.Bundled:
		fmt.Fprintf(h, "bundled %s\n", a.Short) // part of the expressions
	case a.Program != "" && a.Dir == "":
		fmt.Fprintf(h, "program %s\n", a.Name)
		err = hashFile(ctx, h, a.Program)
	default:
		var fields []byte
		digest := "" // in the place of the archive that is made of it
		if a.Image != nil {
			digest = a.Image.Digest
		}
		if fields, err = a.Fields(digest); err == nil {
			fmt.Fprintf(h, "manifest %d %s\n", len(fields), fields)
			switch {
			case a.Source != "":
				err = hashFile(ctx, h, a.Source)
			case a.Contained != "": // its digest stands for it
			case a.Root != nil: // of the directory a build reads the pins only
				err = hashFile(ctx, h, filepath.Join(a.Dir, pins.OwnFile))
				if errors.Is(err, fs.ErrNotExist) {
					err = nil // a build says what is missing
				}
			default:
				err = hashDir(ctx, h, a.Dir)
			}
		}
	}
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Unbuildable is something in an application's directory that cannot be part of a build.
type Unbuildable struct{ Path, Reason string }

func (e *Unbuildable) Error() string {
	return fmt.Sprintf("%q cannot be part of a build: %s", e.Path, e.Reason)
}

// ExitCode is the code of a command that this ends.
func (*Unbuildable) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (*Unbuildable) Hint() string {
	return "move it out of the directory, or give it a name that begins with a dot: a build does not see such files"
}

// walk visits what nixexprs/app-source.nix takes from a directory, and its pins. What Nix cannot copy, or the stages
// cannot name, is an *Unbuildable.
func walk(dir string, visit func(path string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		switch {
		case path == dir:
			return nil
		case name == pins.OwnFile:
		case !manifest.OfSources(name) && d.IsDir():
			return filepath.SkipDir
		case !manifest.OfSources(name):
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch kind := regular.Kind(info.Mode()); {
		case strings.Contains(name, "\n"):
			return &Unbuildable{path, "its name holds a line break"}
		case kind != "" && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0:
			return &Unbuildable{path, "it is " + kind}
		}
		return visit(path, info)
	})
}

// hashDir reads what a build takes from a directory, apart from its manifest.
func hashDir(ctx context.Context, h hash.Hash, dir string) error {
	return walk(dir, func(path string, info fs.FileInfo) error {
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d %s %v %d\n", len(rel), rel, info.Mode().Type()|info.Mode()&0o100, info.Size())
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			fmt.Fprintf(h, "%d %s\n", len(target), target)
			return err
		case info.Mode().IsRegular():
			return hashFile(ctx, h, path)
		}
		return nil
	})
}

func hashFile(ctx context.Context, h hash.Hash, path string) error {
	f, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(h, regular.Until(ctx, f))
	return err
}
