package pins

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"ukl/internal/host/scratch"
	"ukl/internal/pin/seeds"
)

// Source is a place that pins may come from, as it answered when it was asked for one of them.
type Source struct {
	Name string // "seeds", or the address of a mirror
	Err  error  // nil if it has the pin
}

// Sources asks every source that Fetch would, in the same order, for a pin, until one has it. The file is fetched,
// compared and thrown away: take a small one.
func Sources(ctx context.Context, p Pin, o Options) ([]Source, error) {
	dir, done, err := scratch.Dir("ukl-sources-")
	if err != nil {
		return nil, err
	}
	defer done()
	o.Dir, o.Note = dir, nil
	f, err := newFetch([]Pin{p}, o, nil)
	if err != nil {
		return nil, err
	}
	var asked []Source
	for src := range f.sources(ctx) {
		said := len(f.tried)
		err := src.fetch(ctx)
		if len(f.wanted()) == 0 {
			return append(asked, Source{src.name, nil}), nil
		}
		if err == nil && len(f.tried) > said {
			err = errors.New(strings.TrimPrefix(f.tried[len(f.tried)-1], src.name+": "))
		}
		if err != nil { // one without an answer does not have pins of this kind
			asked = append(asked, Source{src.name, err})
		}
	}
	return asked, nil
}

// Unseeded are those of the pins that a folder or archive of seeds does not hold; all of them, if from is "".
func Unseeded(pins []Pin, from string) ([]Pin, error) {
	if from == "" {
		return pins, nil
	}
	store, err := seeds.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return pins, nil
	}
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool {
		r, err := store.Get(p.SHA256)
		if err != nil {
			return false
		}
		r.Close()
		return true
	}), nil
}
