package manifest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/BurntSushi/toml"

	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
)

// Error is one mistake in a manifest.
type Error struct {
	File         string
	Line, Column int
	Text         string
	Hint         string
}

func (e *Error) Error() string { return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text) }

// Errors are all mistakes of a manifest, in the order of the text; never empty.
type Errors []*Error

// Error is the first mistake.
func (es Errors) Error() string { return es[0].Error() }

// Hint helps with the first mistake.
func (es Errors) Hint() string { return es[0].Hint }

// Details are the other mistakes, each with what helps.
func (es Errors) Details() []string {
	var lines []string
	for _, e := range es[1:] {
		line := e.Error()
		if e.Hint != "" {
			line += "; " + e.Hint
		}
		lines = append(lines, line)
	}
	return lines
}

// ExitCode is the code of a command that this ends.
func (Errors) ExitCode() exit.Code { return exit.Input }

// reader takes typed values out of one table. A wrong value is noted and read as its default, so that one look finds
// all mistakes; a key that nobody asked for is unknown.
type reader struct {
	*document
	path   string // of the table, as the locator has it: "", "env", "test#2"
	values map[string]any
	known  []string
}

// document is what the readers of one file share.
type document struct {
	file   string
	places map[string]position
	items  map[string][]int // of a list that was read, by its path: where in the array each item stands
	faults Errors
}

func newReader(text, file string) (*reader, error) {
	// The decoder takes any bytes in comments; a file that is no text is told as such.
	if !utf8.ValidString(text) {
		return nil, Errors{{File: file, Line: 1, Column: 1, Text: "the file is not UTF-8 text"}}
	}
	if at := tooDeep(text); at >= 0 {
		line := strings.LastIndexByte(text[:at], '\n') + 1
		return nil, Errors{{
			File: file, Line: strings.Count(text[:line], "\n") + 1, Column: column(text[line:], at-line),
			Text: fmt.Sprintf("more than %d levels of keys, arrays or tables in each other", deepest),
		}}
	}
	values := map[string]any{}
	if _, err := toml.Decode(text, &values); err != nil {
		e := &Error{File: file, Line: 1, Column: 1, Text: err.Error()}
		var pe toml.ParseError
		if errors.As(err, &pe) {
			e.Line, e.Column, e.Text = max(pe.Position.Line, 1), 1, pe.Message
			// The decoder's own column is that of the line before when a line's first character is wrong.
			if at := pe.Position.Start; at >= 0 && at <= len(text) && strings.Count(text[:at], "\n")+1 == e.Line {
				e.Column = column(text[strings.LastIndexByte(text[:at], '\n')+1:], at-strings.LastIndexByte(text[:at], '\n')-1)
			}
		}
		return nil, Errors{e}
	}
	return &reader{document: &document{file: file, places: locate(text), items: map[string][]int{}}, values: values}, nil
}

// errors returns what was found, in order, or nil.
func (d *document) errors() error {
	if len(d.faults) == 0 {
		return nil
	}
	slices.SortStableFunc(d.faults, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return d.faults
}

// fault notes a mistake in the value of a key; the key "" is the table itself.
func (r *reader) fault(key, format string, args ...any) {
	e := r.at(key)
	e.Text = fmt.Sprintf(format, args...)
	r.faults = append(r.faults, &e)
}

// at is a mistake in the value of a key, without a text.
func (r *reader) at(key string) Error {
	p := r.place(key)
	return Error{File: r.file, Line: p.line, Column: p.value}
}

// item is the key of the ith item of an array.
func item(key string, i int) string { return fmt.Sprintf("%s[%d]", key, i) }

// listed is the key of the ith item of a list that was read.
func (r *reader) listed(key string, i int) string {
	if at := r.items[join(r.path, key)]; i < len(at) {
		i = at[i]
	}
	return item(key, i)
}

// place finds a key or an item, or the innermost array or table around it that the text spells out.
func (r *reader) place(key string) position {
	array, _, _ := strings.Cut(key, "[")
	for _, key := range []string{key, array} {
		if p, ok := r.places[join(r.path, key)]; ok {
			return p
		}
	}
	for path := r.path; path != ""; {
		if p, ok := r.places[path]; ok {
			return p
		}
		cut := strings.LastIndexByte(path, '.')
		path = path[:max(cut, 0)]
	}
	return position{1, 1, 1}
}

func join(path, key string) string {
	if path == "" || key == "" {
		return path + key
	}
	return path + "." + key
}

// done notes the keys that nobody asked for.
func (r *reader) done() {
	for _, key := range slices.Sorted(maps.Keys(r.values)) {
		if slices.Contains(r.known, key) {
			continue
		}
		p := r.place(key)
		e := &Error{File: r.file, Line: p.line, Column: p.key, Text: fmt.Sprintf("unknown key %q", key)}
		if table, _, _ := strings.Cut(r.path, "#"); table != "" {
			e.Text += fmt.Sprintf(" in [%s]", table)
		}
		if s := suggest.Nearest(key, r.known); s != "" {
			e.Hint = fmt.Sprintf("did you mean %q?", s)
		}
		r.faults = append(r.faults, e)
	}
}

func (r *reader) get(key string) any {
	r.known = append(r.known, key)
	return r.values[key]
}

func (r *reader) has(key string) bool { return r.values[key] != nil }

func (r *reader) keys() []string { return slices.Sorted(maps.Keys(r.values)) }

func (r *reader) text(key, missing string) string {
	switch v := r.get(key).(type) {
	case nil:
	case string:
		return v
	default:
		r.fault(key, "%s: want a string, not %s", key, kind(v))
	}
	return missing
}

// word reads a string out of a few.
func (r *reader) word(key, missing string, allowed ...string) string {
	s := r.text(key, missing)
	if slices.Contains(allowed, s) {
		return s
	}
	r.fault(key, "%s: want %s, not %q", key, strings.Join(allowed, " or "), s)
	return missing
}

func (r *reader) integer(key string, missing, least, most int) int {
	switch v := r.get(key).(type) {
	case nil:
	case int64:
		if v >= int64(least) && v <= int64(most) {
			return int(v)
		}
		r.fault(key, "%s: want %d to %d, not %d", key, least, most, v)
	default:
		r.fault(key, "%s: want a number, not %s", key, kind(v))
	}
	return missing
}

func (r *reader) boolean(key string) bool {
	switch v := r.get(key).(type) {
	case nil:
	case bool:
		return v
	default:
		r.fault(key, "%s: want true or false, not %s", key, kind(v))
	}
	return false
}

func (r *reader) array(key string) []any {
	switch v := r.get(key).(type) {
	case nil:
	case []any:
		return v
	default:
		r.fault(key, "%s: want a list, not %s", key, kind(v))
	}
	return nil
}

// list reads a list of strings; nil if it is not there. The stages get lists one item a line, so an item holds no line
// break.
func (r *reader) list(key string) []string {
	if r.values[key] == nil {
		r.get(key)
		return nil
	}
	list := []string{}
	var at []int
	for i, v := range r.array(key) {
		s, ok := v.(string)
		switch {
		case !ok:
			r.fault(item(key, i), "%s: want strings, not %s", key, kind(v))
		case strings.ContainsAny(s, "\x00\n") && key != "args":
			r.fault(item(key, i), "%s: an item cannot hold a line break", key)
		case strings.Contains(s, "\x00"):
			r.fault(item(key, i), "%s: an item cannot hold a NUL byte", key)
		default:
			list, at = append(list, s), append(at, i)
		}
	}
	r.items[join(r.path, key)] = at
	return list
}

func (r *reader) table(key string) *reader {
	sub := &reader{document: r.document, path: join(r.path, key)}
	switch v := r.get(key).(type) {
	case nil:
	case map[string]any:
		sub.values = v
	default:
		r.fault(key, "%s: want a table, not %s", key, kind(v))
	}
	return sub
}

func (r *reader) tables(key string) []*reader {
	var subs []*reader
	switch v := r.get(key).(type) {
	case nil:
	case []map[string]any:
		for i, values := range v {
			subs = append(subs, &reader{document: r.document, path: fmt.Sprintf("%s#%d", key, i+1), values: values})
		}
	default:
		r.fault(key, "%s: want [[%[1]s]], not %s", key, kind(v))
	}
	return subs
}

// kind is how messages call the type of a value.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "a string"
	case int64:
		return "a number"
	case float64:
		return "a fraction"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	}
	return "a date"
}
