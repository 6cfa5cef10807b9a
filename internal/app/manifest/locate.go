package manifest

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// position is where a key stands: line, column of the key and column of its value, from 1, in characters.
type position struct{ line, key, value int }

// locate finds the keys of a TOML text, which must be valid: the decoder keeps no positions. Keys go by their path,
// with the number of its table for an array of tables: "name", "env.HOME", "test#2.send".
func locate(text string) map[string]position {
	l := &locator{places: map[string]position{}, counts: map[string]int{}}
	depth, quotes := 0, ""
	for i, line := range strings.Split(text, "\n") {
		if depth == 0 && quotes == "" {
			l.line(i+1, line)
		}
		depth, quotes = scan(line, depth, quotes)
	}
	return l.places
}

type locator struct {
	places map[string]position
	counts map[string]int // tables of each array so far
	table  string
}

// line looks at a line that begins outside of any value.
func (l *locator) line(n int, line string) {
	trimmed := strings.TrimLeft(line, " \t")
	at := column(line, len(line)-len(trimmed))
	switch {
	case strings.HasPrefix(trimmed, "[["):
		name, _, _ := strings.Cut(trimmed[2:], "]")
		name = path(name)
		l.counts[name]++
		l.table = fmt.Sprintf("%s#%d", name, l.counts[name])
		l.places[l.table] = position{n, at, at}
		l.places[name] = position{n, at, at}
	case strings.HasPrefix(trimmed, "["):
		name, _, _ := strings.Cut(trimmed[1:], "]")
		l.table = path(name)
		l.places[l.table] = position{n, at, at}
	default:
		eq := equals(line)
		if eq < 0 {
			return
		}
		value := line[eq+1:]
		skip := len(value) - len(strings.TrimLeft(value, " \t"))
		l.places[join(l.table, path(line[:eq]))] = position{n, at, column(line, eq+1+skip)}
	}
}

// equals is the index of the sign between key and value; -1 if there is none.
func equals(line string) int {
	var quote byte
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			return -1
		case c == '=':
			return i
		}
	}
	return -1
}

// path is a key without spaces and quotes.
func path(key string) string {
	var parts []string
	for p := range strings.SplitSeq(key, ".") {
		parts = append(parts, strings.Trim(p, " \t\"'"))
	}
	return strings.Join(parts, ".")
}

// column is the column of a byte of a line.
func column(line string, i int) int { return utf8.RuneCountInString(line[:min(i, len(line))]) + 1 }

// scan follows brackets and long strings through a line and returns the depth and the open string at its end.
func scan(line string, depth int, quotes string) (int, string) {
	for i := 0; i < len(line); {
		rest := line[i:]
		if quotes != "" {
			switch {
			case rest[0] == '\\' && quotes[0] == '"':
				i += 2
			case strings.HasPrefix(rest, quotes):
				i += len(quotes)
				quotes = ""
			default:
				i++
			}
			continue
		}
		switch c := rest[0]; {
		case c == '#':
			return depth, ""
		case strings.HasPrefix(rest, `"""`), strings.HasPrefix(rest, `'''`):
			quotes = rest[:3]
			i += 3
		case c == '"', c == '\'':
			quotes = rest[:1]
			i++
		default:
			switch c {
			case '[', '{':
				depth++
			case ']', '}':
				depth = max(depth-1, 0)
			}
			i++
		}
	}
	if len(quotes) == 1 { // a short string ends with its line
		quotes = ""
	}
	return depth, quotes
}
