package pins

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"ukl/internal/host/atomicfile"
	"ukl/internal/host/nix"
	"ukl/internal/pin/facts"
)

// factsVersion is that of what is remembered of a package: another one is read again.
const factsVersion = "2"

// Facts returns what packages say of themselves. Those of the tools come along with ukl; others are read, and fetched
// for it if the store lacks them. What was read is remembered in the folder dir; "" remembers nothing. Pins that are no
// package have no facts.
func Facts(ctx context.Context, s Store, pins []Pin, dir string, o Options,
	progress func(Progress),
) (*facts.Set, error) {
	set := facts.NewSet()
	set.Merge(facts.Tools())
	var unread []Pin
	for _, p := range pins {
		if _, ok := set.Packages[p.SHA256]; ok || p.URL != "" {
			continue
		}
		if known, err := remembered(dir, p); err == nil {
			set.Merge(known)
			continue
		}
		unread = append(unread, p)
	}
	read, err := readFacts(ctx, s, unread, dir, o, progress)
	if err != nil {
		return nil, err
	}
	set.Merge(read)
	return set, nil
}

func factsFile(dir string, p Pin) string {
	return filepath.Join(dir, p.SHA256+"-"+factsVersion+".json")
}

func remembered(dir string, p Pin) (*facts.Set, error) {
	if dir == "" {
		return nil, fs.ErrNotExist
	}
	text, err := os.ReadFile(factsFile(dir, p))
	if err != nil {
		return nil, err
	}
	set, err := facts.Parse(text)
	if err == nil && len(set.Packages) == 0 {
		err = errors.New("no package in it")
	}
	return set, err
}

func readFacts(ctx context.Context, s Store, pins []Pin, dir string, o Options,
	progress func(Progress),
) (*facts.Set, error) {
	set := facts.NewSet()
	missing := slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool {
		_, err := os.Stat(nix.Physical(p.StorePath()))
		return err == nil
	})
	if err := Fetch(ctx, s, missing, o, progress); err != nil {
		return nil, err
	}
	for _, p := range pins {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		one := facts.NewSet()
		r, err := os.Open(nix.Physical(p.StorePath()))
		if err != nil {
			return nil, err
		}
		err = one.Add(p.Name, p.SHA256, r)
		r.Close()
		if err != nil {
			return nil, err
		}
		if dir != "" { // it is best effort: without it the next call reads once more
			_ = os.MkdirAll(dir, 0o755)
			_ = atomicfile.File(factsFile(dir, p), one.Format(), 0o644)
		}
		set.Merge(one)
	}
	return set, nil
}

// Texts returns the texts of licences, by their keys in facts. The smallest package that has one is read, and fetched
// for it if the store lacks it. What was read is remembered in the folder dir.
func Texts(ctx context.Context, s Store, set *facts.Set, pins []Pin, keys []string, dir string, o Options,
	progress func(Progress),
) (map[string]string, error) {
	smallest := map[string]Pin{}
	for _, p := range pins {
		for _, key := range set.Packages[p.SHA256].Refs {
			if have, ok := smallest[key]; !ok || p.Size < have.Size {
				smallest[key] = p
			}
		}
	}
	texts := map[string]string{}
	var unread []Pin
	for _, key := range keys {
		p, ok := smallest[key]
		if !ok {
			continue
		}
		known, err := remembered(dir, p)
		if err != nil && !among(unread)(p) {
			unread = append(unread, p)
		}
		if err == nil {
			maps.Copy(texts, known.Texts)
		}
	}
	read, err := readFacts(ctx, s, unread, dir, o, progress)
	if err != nil {
		return nil, err
	}
	maps.Copy(texts, read.Texts)
	return texts, nil
}

// ImagePins are the pins that images are built from and with: neither QEMU's nor those of Data and Distro.
func (l *Lock) ImagePins() []Pin {
	return slices.DeleteFunc(l.All(), func(p Pin) bool {
		return !slices.ContainsFunc(p.Groups, func(g string) bool {
			return g == "tools" || l.Sources[g] != "" && g != Distro
		})
	})
}

// updateFacts writes the facts of the lock's packages into a checkout.
func updateFacts(ctx context.Context, s Store, checkout string, l *Lock, o Options, fetched func(Progress)) error {
	pins := append(l.ImagePins(), l.Of(Data)...)
	set, err := Facts(ctx, s, pins, "", o, fetched)
	if err != nil {
		return err
	}
	var sums []string
	for _, p := range pins {
		sums = append(sums, p.SHA256)
	}
	set.Only(sums)
	return set.Write(checkout)
}
