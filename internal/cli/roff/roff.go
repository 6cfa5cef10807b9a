// Package roff makes plain text into a part of a manual page for man(7): nothing in it is a request or an escape.
package roff

import "strings"

// escapes let every character be itself. A hyphen is a minus, so that options can be copied.
var escapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`)

// Text is text for a page, or for an argument in quotation marks. A blank line in it begins a paragraph.
func Text(s string) string {
	lines := strings.Split(escapes.Replace(s), "\n")
	for i, l := range lines {
		switch {
		case l == "":
			lines[i] = ".PP"
		case l[0] == '.': // at the beginning of a line, a request
			lines[i] = "\\&" + l
		}
	}
	return strings.Join(lines, "\n")
}

// Term is an entry of a table: what is explained, and the explanation.
func Term(name, text string) string { return ".TP\n\\fB" + Text(name) + "\\fR\n" + Text(text) + "\n" }
