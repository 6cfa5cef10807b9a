package roff

import (
	"os/exec"
	"strings"
	"testing"
)

func page() Page {
	return Page{Name: "a-b", Section: 1, Summary: "it's \\fBplain\\fR", Source: `x "1"`, Parts: []Part{
		{Title: "TEXT", Text: []string{".SH not a section", "two\n'lines"}, Literal: []string{"  ./run --x", "", ".nf"}},
		{Title: "OPTIONS", Terms: []Term{{"-p, --port `X`", ".ce of it"}, {"~^", ""}}},
	}}
}

func TestString(t *testing.T) {
	want := `.TH "A\-B" 1 "" "x \(dq1\(dq" ""
.SH NAME
a\-b \- it\(aqs \efBplain\efR
.SH "TEXT"
\&.SH not a section
.PP
two
\(aqlines
.PP
.nf
  ./run \-\-x
\&
\&.nf
.fi
.SH "OPTIONS"
.TP
\fB\-p, \-\-port \(gaX\(ga\fR
\&.ce of it
.TP
\fB\(ti\(ha\fR
\&
`
	if got := page().String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// groff renders it without a warning, and what is shown is the text.
func TestRendered(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("no groff here to judge the page: TestString has looked at its source")
		return
	}
	cmd := exec.Command(groff, "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u")
	cmd.Stdin = strings.NewReader(page().String())
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil || warnings.Len() > 0 {
		t.Fatalf("%v\n%s", err, &warnings)
	}
	for _, want := range []string{`it's \fBplain\fR`, ".SH not a section", "./run --x", "-p, --port `X`", ".ce of it", "~^"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
