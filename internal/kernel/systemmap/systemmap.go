// Package systemmap reads the list of a kernel's symbols that its build leaves beside it, System.map: a line for each,
// with address, kind and name. Lines of any other form are left out.
package systemmap

import (
	"iter"
	"os"
	"strconv"
	"strings"
)

// Symbol is a name of the kernel's code or data.
type Symbol struct {
	Addr uint64
	Name string
}

// Parse gives the symbols of a System.map in its order, which is that of the addresses.
func Parse(text string) iter.Seq[Symbol] {
	return func(yield func(Symbol) bool) {
		for line := range strings.Lines(text) {
			f := strings.Fields(line)
			if len(f) != 3 {
				continue
			}
			if a, err := strconv.ParseUint(f[0], 16, 64); err == nil && !yield(Symbol{a, f[2]}) {
				return
			}
		}
	}
}

// Addresses reads a file. Of a name that several symbols have the last one counts.
func Addresses(file string) (map[string]uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := map[string]uint64{}
	for s := range Parse(string(text)) {
		all[s.Name] = s.Addr
	}
	return all, nil
}
