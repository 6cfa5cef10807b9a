package pins

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"
)

// Resolve asks the host's apt for the newest packages of the suite and its security archive that satisfy the wants. It
// fetches package lists of its own and needs no root; hashes of trees and of Go inputs in the result are those of old,
// if any, and stale until measured.
func Resolve(ctx context.Context, old *Lock, o Options) (*Lock, error) {
	apt, err := openApt(ctx, o, nil, true)
	if err != nil {
		return nil, err
	}
	defer apt.close()
	l := &Lock{
		Suite: suite, Architecture: "amd64", Snapshot: time.Now().UTC().Format(stamp),
		Trees: map[string]Tree{}, Sources: map[string]string{}, Packages: map[string]Package{},
	}
	if old != nil {
		l.Go, l.Modules, l.Stage0 = old.Go, old.Modules, old.Stage0
	}
	for name, w := range wants {
		ask := apt.closure
		if w.alone {
			ask = apt.newest
		}
		found, err := ask(ctx, w.packages)
		if err != nil {
			return nil, err
		}
		zero, _ := ToSRI(strings.Repeat("0", 64)) // of a tree that old has not; it is measured
		t := Tree{NarHash: zero}
		if old != nil && old.Trees[name].NarHash != "" {
			t.NarHash = old.Trees[name].NarHash
		}
		for n, p := range found {
			if slices.Contains(w.without, n) {
				continue
			}
			t.Packages = append(t.Packages, n)
			l.Packages[n] = p
		}
		slices.Sort(t.Packages)
		l.Trees[name] = t
	}
	parts := maps.Clone(sources)
	for part, meta := range kernels {
		if parts[part], err = apt.needed(ctx, meta); err != nil {
			return nil, err
		}
	}
	for part, name := range parts {
		found, err := apt.newest(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		l.Sources[part] = name
		l.Packages[name] = found[name]
	}
	if old != nil && maps.Equal(l.Packages, old.Packages) {
		l.Snapshot = old.Snapshot // nothing moved, so the file stays as it is
	}
	if bad := l.checkPackages(); bad != nil {
		return nil, errors.New(bad.text)
	}
	return l, nil
}

// checkPackages is check for a lock whose hashes of outputs are not known yet.
func (l *Lock) checkPackages() *flaw {
	c := *l
	zero, _ := ToSRI(strings.Repeat("0", 64))
	c.Go = Toolchain{Version: "0", Archive: strings.Repeat("0", 64), NarHash: zero}
	c.Modules.NarHash, c.Stage0.NarHash = zero, zero
	c.Trees = maps.Clone(l.Trees)
	for n, t := range c.Trees {
		t.NarHash = zero
		c.Trees[n] = t
	}
	return c.check()
}

// Behind is a pin that is not the newest of its package.
type Behind struct {
	Name    string   `json:"name"`
	Pinned  string   `json:"pinned"`  // version
	Newest  string   `json:"newest"`  // version
	Archive string   `json:"archive"` // that has the newest: Main or Security
	Groups  []string `json:"groups"`  // trees and sources that need the pin
}

// Outdated compares pins with the newest packages of the suite and its security archive. With refresh it fetches
// package lists, else it takes those of the last call that did; made is how old they are, zero if there never was one.
func Outdated(ctx context.Context, pins []Pin, o Options, refresh bool) (behind []Behind, made time.Time, err error) {
	packages := slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool { return p.URL != "" })
	a, err := openApt(ctx, o, packages, refresh)
	if errors.Is(err, errNoLists) {
		return nil, time.Time{}, nil
	}
	if err != nil {
		return nil, time.Time{}, err
	}
	defer a.close()
	var names []string
	for _, p := range packages {
		names = append(names, p.Name)
	}
	if len(names) == 0 {
		return nil, a.made(), nil
	}
	newest, err := a.candidates(ctx, names)
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, p := range packages {
		if err := a.renamed(ctx, p, newest); err != nil {
			return nil, time.Time{}, err
		}
		if c, ok := newest[p.Name]; ok {
			behind = append(behind, Behind{p.Name, p.Version, c.version, c.archive, append([]string{}, p.Groups...)})
		}
	}
	return behind, a.made(), nil
}
