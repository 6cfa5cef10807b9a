// Package gc finds what ukl has put into the Nix store and nothing needs any more. Who made a path is asked of its
// derivation, not of its name: what others built is left to them, however it is called. What a root or a running build
// holds is never deleted; Nix sees to that.
package gc

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/build/image"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
)

// Store is what collecting needs of Nix; *nix.Client is one.
type Store interface {
	Dead(ctx context.Context) ([]string, error)
	Invalid(ctx context.Context, paths []string) ([]string, error)
	Sizes(ctx context.Context, paths []string) ([]int64, error)
	Delete(ctx context.Context, paths []string) error
}

// Path is a path of the store that can go.
type Path struct {
	Path string `json:"path"`
	Size int64  `json:"bytes"`
}

// Find returns what can go, in order. The pinned paths of the lock, which nothing holds once they are built upon, go
// only with all.
func Find(ctx context.Context, s Store, pinned []string, all bool) ([]Path, error) {
	dead, err := s.Dead(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := made(nix.Physical(pins.StoreDir))
	if err != nil {
		return nil, err
	}
	for _, p := range pinned {
		ours[p] = all
	}
	paths := slices.DeleteFunc(dead, func(p string) bool { return !ours[p] })
	invalid, err := s.Invalid(ctx, paths)
	if err != nil {
		return nil, err
	}
	paths = slices.DeleteFunc(paths, func(p string) bool { return slices.Contains(invalid, p) })
	slices.Sort(paths)
	sizes, err := s.Sizes(ctx, paths)
	if err != nil {
		return nil, err
	}
	var found []Path
	for i, p := range paths {
		found = append(found, Path{p, sizes[i]})
	}
	return found, nil
}

// Delete deletes what Find found, but for what a build has begun to use since.
func Delete(ctx context.Context, s Store, found []Path) error {
	var paths []string
	for _, p := range found {
		paths = append(paths, p.Path)
	}
	for {
		err := s.Delete(ctx, paths)
		if err == nil {
			return nil
		}
		dead, failed := s.Dead(ctx)
		if failed != nil {
			return err
		}
		rest := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !slices.Contains(dead, p) })
		if len(rest) == len(paths) { // it was something else
			return err
		}
		if paths = rest; len(paths) == 0 {
			return nil
		}
	}
}

// builder is how the program is called that runs every stage.
const builder = "/bin/stage0"

// made returns the store paths that derivations of ours name: themselves, what they make, the sources that they are
// made from, and the Debian packages and archives among their inputs. It reads all derivations of the store, which is
// at dir.
func made(dir string) (map[string]bool, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]bool{}, nil
	}
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	own := func(d *image.Derivation) {
		ours[d.Path] = true
		for _, out := range d.Outputs {
			ours[out] = true
		}
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".drv") {
			continue
		}
		d, err := image.ReadDerivation(filepath.Join(pins.StoreDir, e.Name()))
		if err != nil || !strings.HasSuffix(d.Builder, builder) {
			continue // one that cannot be read is none of ours
		}
		own(d)
		for _, s := range d.Sources {
			ours[s] = true
		}
		for in := range d.Inputs {
			if !strings.HasSuffix(in, ".deb.drv") && !pins.IsArchive(nix.Name(in)) || ours[in] {
				continue
			}
			if deb, err := image.ReadDerivation(in); err == nil {
				own(deb)
			}
		}
	}
	return ours, nil
}
