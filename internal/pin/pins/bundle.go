package pins

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/host/nix"
	"ukl/internal/host/scratch"
	"ukl/internal/pin/seeds"
)

// nars are the store paths of the lock that are directories, by name in the store.
func (l *Lock) nars() map[string]string {
	return map[string]string{
		"source":     l.Go.NarHash,
		"go-modules": l.Modules.NarHash,
		"stage0":     l.Stage0.NarHash,
	}
}

// Export writes every pin of the lock and of own, the locks of applications, to the folder to as sha256/<hex>, and the
// Go toolchain, the Go modules and stage0, if the store has them, as NAR files beside them. If to ends in seeds.Ending,
// it becomes one archive of them. It returns the number of files. Both are what Options.Seeds takes.
func Export(ctx context.Context, c *nix.Client, l *Lock, own []Pin, to string) (int, error) {
	out, err := newBundle(to)
	if err != nil {
		return 0, err
	}
	defer out.drop()
	n := 0
	for _, p := range slices.Concat(l.All(), own) {
		if err := out.pin(p); err != nil {
			return n, err
		}
		n++
	}
	nars := l.nars()
	for _, name := range slices.Sorted(maps.Keys(nars)) {
		raw, err := FromSRI(nars[name])
		if err != nil {
			return n, err
		}
		path := narPath(nars[name], name)
		ok, err := c.Has(ctx, path)
		if err != nil {
			return n, err
		}
		if !ok {
			continue
		}
		if err := out.nar(hex.EncodeToString(raw), func(file string) error { return c.Dump(ctx, path, file) }); err != nil {
			return n, err
		}
		n++
	}
	return n, out.close()
}

// bundle is what Export writes to.
type bundle interface {
	pin(p Pin) error // one that the store has
	nar(hex string, dump func(file string) error) error
	close() error
	drop() // forgets what was not closed
}

func newBundle(to string) (bundle, error) {
	if strings.HasSuffix(to, seeds.Ending) {
		w, err := seeds.Create(to)
		return archive{w}, err
	}
	dir := filepath.Join(to, "sha256")
	return folder(dir), os.MkdirAll(dir, 0o755)
}

// folder is a bundle that keeps what it has already.
type folder string

func (f folder) pin(p Pin) error {
	to := filepath.Join(string(f), p.SHA256)
	if verify(p, to, to) == nil {
		return nil
	}
	from := nix.Physical(p.StorePath())
	if err := verify(p, from, p.StorePath()); err != nil {
		return err
	}
	return copyFile(from, to)
}

func (f folder) nar(hex string, dump func(string) error) error {
	return dump(filepath.Join(string(f), hex))
}

func (f folder) close() error { return nil }
func (f folder) drop()        {}

// archive is a bundle that is one file.
type archive struct{ w *seeds.Writer }

func (a archive) pin(p Pin) error {
	from := nix.Physical(p.StorePath())
	if err := verify(p, from, p.StorePath()); err != nil {
		return err
	}
	return a.w.Put(p.SHA256, from)
}

func (a archive) nar(hex string, dump func(string) error) error {
	dir, err := a.w.Temporary()
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, hex)
	if err := dump(file); err != nil {
		return err
	}
	return a.w.Put(hex, file)
}

func (a archive) close() error { return a.w.Close() }
func (a archive) drop()        { a.w.Drop() }

// ImportNars puts the NAR files of a folder or archive of seeds into the store, where they are missing. Packages come
// through Fetch.
func ImportNars(ctx context.Context, c *nix.Client, l *Lock, from string) error {
	store, err := seeds.Open(from)
	if err != nil {
		return err
	}
	defer store.Close()
	for name, sri := range l.nars() {
		raw, err := FromSRI(sri)
		if err != nil {
			return err
		}
		path := narPath(sri, name)
		if ok, err := c.Has(ctx, path); err != nil || ok {
			if err != nil {
				return err
			}
			continue
		}
		sum := hex.EncodeToString(raw)
		seed, err := store.Get(sum)
		if err != nil { // Nix makes these paths without seeds, too
			continue
		}
		err = importNar(ctx, c, nar{name, path, sum}, seed, store.Place(sum))
		seed.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// nar is a store path whose NAR file is a seed.
type nar struct{ name, path, sum string }

// importNar copies a seed, compares it with its hash, and unpacks the copy into the store: what is not pinned is never
// unpacked.
func importNar(ctx context.Context, c *nix.Client, n nar, seed *seeds.Seed, place string) error {
	work, done, err := scratch.Dir("ukl-import-")
	if err != nil {
		return err
	}
	defer done()
	file := filepath.Join(work, n.sum)
	if err := checked(ctx, Pin{Name: n.name, SHA256: n.sum}, seed, place, file); err != nil {
		return err
	}
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	dir := filepath.Join(work, n.name)
	if err := c.Restore(ctx, r, dir); err != nil {
		return err
	}
	got, err := c.AddPath(ctx, n.name, dir)
	if err == nil && got != n.path {
		err = fmt.Errorf("%s: is %s, not %s", place, got, n.path)
	}
	return err
}
