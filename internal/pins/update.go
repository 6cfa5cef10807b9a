package pins

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
)

// suite is Debian's frozen release. Its security suite would move the pins with every fix; see docs/pins.md.
const suite = "bookworm"

// Resolve asks the host's apt for the newest packages of the suite that satisfy the wants. It reads apt's metadata only and
// needs no root; hashes of trees and of Go inputs in the result are those of old, if any, and stale until measured.
func Resolve(ctx context.Context, old *Lock) (*Lock, error) {
	apt, err := newApt("")
	if err != nil {
		return nil, err
	}
	defer apt.close()
	l := &Lock{Suite: suite, Architecture: "amd64", Trees: map[string]Tree{}, Sources: map[string]string{}, Packages: map[string]Package{}}
	if old != nil {
		l.Go, l.Modules, l.Stage0 = old.Go, old.Modules, old.Stage0
	}
	for name, w := range wants {
		found, err := apt.closure(ctx, w.packages)
		if err != nil {
			return nil, err
		}
		t := Tree{}
		if old != nil {
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
	for part, s := range sources {
		name := s.name
		if s.version != "" {
			name += "=" + s.version
		}
		found, err := apt.show(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		l.Sources[part] = s.name
		l.Packages[s.name] = found[s.name]
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
	c.Go.NarHash, c.Modules.NarHash, c.Stage0.NarHash = zero, zero, zero
	c.Trees = maps.Clone(l.Trees)
	for n, t := range c.Trees {
		t.NarHash = zero
		c.Trees[n] = t
	}
	return c.check()
}
