// Package roff writes manual pages for man(7): names, running text, tables of terms, and text that is shown as it is. What it gets
// is plain text; nothing in it can be a request or an escape.
package roff

import (
	"fmt"
	"strings"
)

// Page is one manual page.
type Page struct {
	Name    string // as in ukl-run
	Section int
	Summary string // one line
	Source  string // what it belongs to, with its version
	Parts   []Part
}

// Part is a section of a page; of its contents any may be empty, and they come in this order.
type Part struct {
	Title   string
	Text    []string // paragraphs
	Literal []string // lines that are shown as they are
	Terms   []Term
}

// Term is an entry of a table: what is explained, and the explanation.
type Term struct{ Name, Text string }

// String is the page as man reads it.
func (p Page) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH \"%s\" %d \"\" \"%s\" \"\"\n.SH NAME\n%s \\- %s\n", quoted(strings.ToUpper(p.Name)), p.Section, quoted(p.Source), escaped(p.Name), escaped(p.Summary))
	for _, part := range p.Parts {
		fmt.Fprintf(&b, ".SH \"%s\"\n", quoted(part.Title))
		for i, text := range part.Text {
			if i > 0 {
				b.WriteString(".PP\n")
			}
			line(&b, text)
		}
		if len(part.Literal) > 0 {
			if len(part.Text) > 0 {
				b.WriteString(".PP\n")
			}
			b.WriteString(".nf\n")
			for _, l := range part.Literal {
				line(&b, l)
			}
			b.WriteString(".fi\n")
		}
		for _, t := range part.Terms {
			b.WriteString(".TP\n\\fB")
			fmt.Fprintf(&b, "%s\\fR\n", escaped(t.Name))
			line(&b, t.Text)
		}
	}
	return b.String()
}

// line writes one line of text, or several, which are filled unless they are literal.
func line(b *strings.Builder, text string) {
	for l := range strings.SplitSeq(text, "\n") {
		if l == "" {
			b.WriteString("\\&\n") // an empty line would be a space of its own
			continue
		}
		b.WriteString(protected(escaped(l)))
		b.WriteByte('\n')
	}
}

// protected keeps the first character of a line from making it a request.
func protected(s string) string {
	if s != "" && (s[0] == '.' || s[0] == '\'') {
		return "\\&" + s
	}
	return s
}

// escaped is text in which every character is itself. A hyphen is a minus, so that options can be copied.
func escaped(s string) string {
	return strings.NewReplacer("\\", "\\e", "-", "\\-", "'", "\\(aq", "`", "\\(ga", "^", "\\(ha", "~", "\\(ti").Replace(s)
}

// quoted is text inside of an argument in quotation marks.
func quoted(s string) string { return strings.ReplaceAll(escaped(s), "\"", "\\(dq") }
