package manifest

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// position is where a key stands: line, column of the key and column of its value, from 1, in characters. Both columns
// of an item are its own.
type position struct{ line, key, value int }

// locate finds the keys of a TOML text, which must be valid: the decoder keeps no positions. Keys go by their path,
// with the number of its table for an array of tables, and items by that of their array: "name", "env.HOME",
// "test#2.send", "kernel.config[0]".
func locate(text string) map[string]position {
	l := &locator{text: text, places: map[string]position{}, counts: map[string]int{}}
	for l.space(true); l.at < len(l.text); l.space(true) {
		before := l.at
		if l.text[l.at] == '[' {
			l.header()
		} else {
			l.pair(l.table)
		}
		if l.at == before { // the text is not valid
			l.at++
		}
	}
	return l.places
}

// locator stands at a byte of the text.
type locator struct {
	text      string
	at        int
	line      int // counted from 0
	seen      int // the byte up to which line and column are counted
	column    int // of that byte, in characters from 0
	places    map[string]position
	counts    map[string]int // tables of each array so far
	table     string
	recursion int
}

// here is a position that is a key's and a value's.
func (l *locator) here() position {
	passed := l.text[l.seen:l.at]
	if n := strings.Count(passed, "\n"); n > 0 {
		l.line += n
		l.column = 0
		passed = passed[strings.LastIndexByte(passed, '\n')+1:]
	}
	l.column += utf8.RuneCountInString(passed)
	l.seen = l.at
	return position{l.line + 1, l.column + 1, l.column + 1}
}

// space skips blanks and comments, also over the ends of lines.
func (l *locator) space(lines bool) {
	for ; l.at < len(l.text); l.at++ {
		switch c := l.text[l.at]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n' && lines:
		case c == '#' && lines:
			l.until("\n")
			l.at--
		default:
			return
		}
	}
}

// until goes to the first of some bytes, or to the end.
func (l *locator) until(any string) {
	if i := strings.IndexAny(l.text[l.at:], any); i >= 0 {
		l.at += i
	} else {
		l.at = len(l.text)
	}
}

// next tells whether a byte stands here, and passes it.
func (l *locator) next(c byte) bool {
	if l.at < len(l.text) && l.text[l.at] == c {
		l.at++
		return true
	}
	return false
}

// header is [TABLE] or [[ARRAY OF TABLES]].
func (l *locator) header() {
	at := l.here()
	l.next('[')
	array := l.next('[')
	name := l.key("]")
	l.until("\n")
	l.table = name
	if array {
		l.counts[name]++
		l.table = fmt.Sprintf("%s#%d", name, l.counts[name])
		l.places[name] = at
	}
	l.places[l.table] = at
}

// key goes to the byte behind a key and returns the key.
func (l *locator) key(end string) string {
	begin := l.at
	for l.at < len(l.text) && !strings.Contains(end, l.text[l.at:l.at+1]) {
		if c := l.text[l.at]; c == '"' || c == '\'' {
			l.quoted()
			continue
		}
		l.at++
	}
	return path(l.text[begin:l.at])
}

// pair is KEY = VALUE, in a table.
func (l *locator) pair(table string) {
	at := l.here()
	name := l.key("=\n")
	if !l.next('=') {
		return
	}
	l.space(false)
	name, at.value = join(table, name), l.here().value
	l.places[name] = at
	l.value(name)
}

// value passes a value, and finds what is inside.
func (l *locator) value(name string) {
	const deepest = 100 // Go's stack is no limit to a text that somebody sends
	if l.at >= len(l.text) || l.recursion > deepest {
		l.until("\n")
		return
	}
	l.recursion++
	defer func() { l.recursion-- }()
	switch l.text[l.at] {
	case '"', '\'':
		l.quoted()
	case '[':
		l.items(']', func(i int) {
			item := fmt.Sprintf("%s[%d]", name, i)
			l.places[item] = l.here()
			l.value(item)
		})
	case '{':
		l.items('}', func(int) { l.pair(name) })
	default:
		l.until(",]}#\n")
	}
}

// items passes a list in brackets.
func (l *locator) items(end byte, one func(i int)) {
	l.at++
	for i := 0; l.at < len(l.text); i++ {
		l.space(true)
		if l.next(end) {
			return
		}
		before := l.at
		one(i)
		l.space(true)
		if !l.next(',') && l.at == before {
			return
		}
	}
}

// quoted passes a string.
func (l *locator) quoted() {
	quote := l.text[l.at : l.at+1]
	long := strings.Repeat(quote, 3)
	if strings.HasPrefix(l.text[l.at:], long) {
		quote = long
	}
	for l.at += len(quote); l.at < len(l.text); l.at++ {
		rest := l.text[l.at:]
		switch {
		case rest[0] == '\\' && quote[0] == '"':
			l.at++
		case strings.HasPrefix(rest, quote):
			l.at += len(quote)
			for len(quote) == 3 && l.next(quote[0]) { // up to two more belong to the string
			}
			return
		}
	}
	l.at = len(l.text)
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
