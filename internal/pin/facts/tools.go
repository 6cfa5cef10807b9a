package facts

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ukl/internal/host/atomicfile"
)

// File is where a checkout has the facts of the packages that the lock names for building images.
const File = "internal/pin/facts/tools.json"

//go:embed tools.json
var tools []byte

// Tools are the facts of the packages that the lock names for building images, without texts. They come along with ukl;
// nobody may change them.
var Tools = sync.OnceValue(func() *Set {
	s, err := Parse(tools)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", File, err)) // it is a part of this program
	}
	return s
})

// Parse reads facts that Format has written.
func Parse(text []byte) (*Set, error) {
	s := NewSet()
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Format renders facts, one package and one text a line, in order.
func (s *Set) Format() []byte {
	var b bytes.Buffer
	b.WriteString("{\n  \"packages\": {\n")
	lines(&b, s.Packages)
	b.WriteString("  },\n  \"texts\": {\n")
	lines(&b, s.Texts)
	b.WriteString("  }\n}\n")
	return b.Bytes()
}

func lines[V any](b *bytes.Buffer, m map[string]V) {
	keys := slices.Sorted(maps.Keys(m))
	for i, k := range keys {
		comma := ","
		if i == len(keys)-1 {
			comma = ""
		}
		var v bytes.Buffer
		e := json.NewEncoder(&v)
		e.SetEscapeHTML(false)
		if err := e.Encode(m[k]); err != nil {
			panic(err) // strings, numbers and lists of them always encode
		}
		fmt.Fprintf(b, "    %q: %s%s\n", k, strings.TrimSpace(v.String()), comma)
	}
}

// Write replaces the facts of a checkout, atomically.
func (s *Set) Write(checkout string) error {
	return atomicfile.File(filepath.Join(checkout, File), s.Format(), 0o644)
}

// Merge adds the facts of another set.
func (s *Set) Merge(o *Set) {
	maps.Copy(s.Packages, o.Packages)
	maps.Copy(s.Texts, o.Texts)
}

// Only drops the packages that are not among the hashes, and all texts.
func (s *Set) Only(sums []string) {
	maps.DeleteFunc(s.Packages, func(sum string, _ Facts) bool { return !slices.Contains(sums, sum) })
	clear(s.Texts)
}
