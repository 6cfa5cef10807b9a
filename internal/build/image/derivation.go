package image

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"ukl/internal/host/nix"
)

// Derivation is what Nix is told to do for one stage.
type Derivation struct {
	Path    string              `json:"path"`
	Outputs map[string]string   `json:"outputs"`
	Inputs  map[string][]string `json:"inputs"`  // derivations and which of their outputs
	Sources []string            `json:"sources"` // store paths
	System  string              `json:"system"`
	Builder string              `json:"builder"`
	Args    []string            `json:"args"`
	Env     map[string]string   `json:"env"`
}

// ReadDerivation reads a .drv file of the store.
func ReadDerivation(drv string) (*Derivation, error) {
	text, err := os.ReadFile(nix.Physical(drv))
	if err != nil {
		return nil, err
	}
	d, err := parseDerivation(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", drv, err)
	}
	d.Path = drv
	return d, nil
}

// registered is the time stamp that Nix gives to all files of the store. What a failed builder left has another.
const registered = 1

// Built tells whether a derivation's outputs are in the store. Nix's log says when a build stops, but not how.
func Built(drv string) bool {
	d, err := ReadDerivation(drv)
	if err != nil {
		return true // a store without .drv files is not a failed build
	}
	for _, out := range d.Outputs {
		if fi, err := os.Lstat(nix.Physical(out)); err != nil || fi.ModTime().Unix() != registered {
			return false
		}
	}
	return true
}

// parseDerivation reads the text form: Derive(outputs, inputs, sources, system, builder, args, env) of lists, tuples
// and strings.
func parseDerivation(text string) (d *Derivation, err error) {
	body, ok := strings.CutPrefix(text, "Derive")
	if !ok {
		return nil, fmt.Errorf("no derivation")
	}
	p := &aterm{text: body}
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	top, ok := v.([]any)
	if !ok || len(top) != 7 {
		return nil, fmt.Errorf("no derivation of 7 parts")
	}
	d = &Derivation{Outputs: map[string]string{}, Inputs: map[string][]string{}, Env: map[string]string{}}
	for _, o := range tuples(top[0], 4) {
		d.Outputs[word(o[0])] = word(o[1])
	}
	for _, in := range tuples(top[1], 2) {
		d.Inputs[word(in[0])] = words(in[1])
	}
	d.Sources, d.System, d.Builder, d.Args = words(top[2]), word(top[3]), word(top[4]), words(top[5])
	for _, e := range tuples(top[6], 2) {
		d.Env[word(e[0])] = word(e[1])
	}
	if len(d.Outputs) == 0 {
		return nil, fmt.Errorf("no outputs")
	}
	return d, nil
}

func word(v any) string { s, _ := v.(string); return s }

func words(v any) []string {
	list, _ := v.([]any)
	s := []string{}
	for _, item := range list {
		s = append(s, word(item))
	}
	return s
}

// tuples returns the items of a list that are tuples of n.
func tuples(v any, n int) [][]any {
	list, _ := v.([]any)
	var ts [][]any
	for _, item := range list {
		if t, ok := item.([]any); ok && len(t) == n {
			ts = append(ts, t)
		}
	}
	return ts
}

// aterm reads strings, and lists and tuples as []any.
type aterm struct {
	text  string
	depth int
}

func (p *aterm) value() (any, error) {
	switch {
	case strings.HasPrefix(p.text, `"`):
		return p.str()
	case strings.HasPrefix(p.text, "["):
		return p.items("]")
	case strings.HasPrefix(p.text, "("):
		return p.items(")")
	}
	return nil, fmt.Errorf("unexpected %s", strconv.Quote(p.text[:min(len(p.text), 20)]))
}

func (p *aterm) items(end string) (any, error) {
	if p.depth++; p.depth > 10 {
		return nil, fmt.Errorf("too deep")
	}
	defer func() { p.depth-- }()
	p.text = p.text[1:]
	list := []any{}
	for {
		if rest, ok := strings.CutPrefix(p.text, end); ok {
			p.text = rest
			return list, nil
		}
		if len(list) > 0 {
			rest, ok := strings.CutPrefix(p.text, ",")
			if !ok {
				return nil, fmt.Errorf("no comma between items")
			}
			p.text = rest
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
}

func (p *aterm) str() (any, error) {
	escapes := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r'}
	var b strings.Builder
	for i := 1; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '"':
			p.text = p.text[i+1:]
			return b.String(), nil
		case '\\':
			if i++; i == len(p.text) {
				break
			}
			if e, ok := escapes[p.text[i]]; ok {
				b.WriteByte(e)
			} else {
				b.WriteByte(p.text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return nil, fmt.Errorf("a string without an end")
}
