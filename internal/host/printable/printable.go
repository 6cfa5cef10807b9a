// Package printable shows control characters in the text of others instead of handing them on: a terminal would obey
// them.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// obeyed tells whether a terminal may take a character for a command: the control characters of ASCII and Latin-1 but
// for tab and line feed, and those of Unicode that show nothing, or change the direction of a text or its line.
func obeyed(c rune) bool {
	switch {
	case c == '\t' || c == '\n':
		return false
	case unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp): // no width, another direction, another line
		return true
	}
	return c < ' ' || c >= 0x7f && c < 0xa0
}

// Line is Text of what is part of one line: line feeds and all carriage returns are shown, too.
func Line(s string) string { return breaks.Replace(Text(s)) }

var breaks = strings.NewReplacer("\n", `\x0a`, "\r", `\x0d`)

// Text is s with \xNN or \uNNNN in place of each control character, and of each byte that is no UTF-8. A carriage
// return before a line feed, or at the end, where one may follow, stays.
func Text(s string) string {
	if utf8.ValidString(s) && !strings.ContainsFunc(s, obeyed) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		switch {
		case c == '\r' && (len(s) == 1 || s[1] == '\n'):
			b.WriteByte('\r')
		case c == utf8.RuneError && n == 1, obeyed(c) && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[0])
		case obeyed(c):
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String()
}

// JSON is a JSON text with \uNNNN in place of each character that a terminal may obey: encoding/json escapes only those
// below the space. It is the same value.
func JSON(text string) string {
	if !strings.ContainsFunc(text, obeyed) {
		return text
	}
	var b strings.Builder
	for _, c := range text {
		switch high, low := utf16.EncodeRune(c); {
		case !obeyed(c):
			b.WriteRune(c)
		case high == unicode.ReplacementChar: // it needs no pair
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		}
	}
	return b.String()
}

// Writer is w for text: what it writes is as of Text. A character that comes in two pieces is not put together.
func Writer(w io.Writer) io.Writer { return writer{w} }

type writer struct{ w io.Writer }

func (w writer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.w, Text(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}
