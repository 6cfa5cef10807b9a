package pins

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"ukl/internal/nix"
)

// nars are the store paths of the lock that are directories, by name in the store.
func (l *Lock) nars() map[string]string {
	return map[string]string{
		"source":     l.Go.NarHash,
		"go-modules": l.Modules.NarHash,
		"stage0":     l.Stage0.NarHash,
	}
}

// Export writes every pin of the lock and of own, the locks of applications, to the folder dir as sha256/<hex>, and the Go
// toolchain, the Go modules and stage0, if the store has them, as NAR files beside them. It returns the number of files. Such a
// folder is what Options.Seeds takes.
func Export(ctx context.Context, c *nix.Client, l *Lock, own []Pin, dir string) (int, error) {
	folder := filepath.Join(dir, "sha256")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, err
	}
	n := 0
	for _, p := range slices.Concat(l.All(), own) {
		to := filepath.Join(folder, p.SHA256)
		if verify(p, to, to) == nil {
			n++
			continue
		}
		from := nix.Physical(p.StorePath())
		if err := verify(p, from, p.StorePath()); err != nil {
			return n, err
		}
		if err := copyFile(from, to); err != nil {
			return n, err
		}
		n++
	}
	for name, sri := range l.nars() {
		raw, err := FromSRI(sri)
		if err != nil {
			return n, err
		}
		path := narPath(sri, name)
		ok, err := c.Has(ctx, path)
		if err != nil {
			return n, err
		}
		if !ok {
			continue
		}
		if err := c.Dump(ctx, path, filepath.Join(folder, hex.EncodeToString(raw))); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// ImportNars puts the NAR files of a seed folder into the store, where they are missing. Packages come through Fetch.
func ImportNars(ctx context.Context, c *nix.Client, l *Lock, seeds string) error {
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
		seed := filepath.Join(seeds, "sha256", hex.EncodeToString(raw))
		if _, err := os.Stat(seed); err != nil {
			continue
		}
		work, err := os.MkdirTemp("", "ukl-import-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(work)
		dir := filepath.Join(work, name)
		if err := c.Restore(ctx, seed, dir); err != nil {
			return err
		}
		got, err := c.AddPath(ctx, name, dir)
		if err != nil {
			return err
		}
		if got != path {
			return fmt.Errorf("%s: is %s, not %s", seed, got, path)
		}
	}
	return nil
}
