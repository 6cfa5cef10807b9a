package roff

import (
	"os/exec"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"it's \\fBplain\\fR", `it\(aqs \efBplain\efR`},
		{".SH not a section", `\&.SH not a section`},
		{"two\n'lines", "two\n\\(aqlines"},
		{"two\n\nparagraphs", "two\n.PP\nparagraphs"},
		{`x "1" ~^`, `x \(dq1\(dq \(ti\(ha`},
		{"--port `X`", `\-\-port \(gaX\(ga`},
		{"a\n.b", "a\n\\&.b"},
	} {
		if got := Text(c.text); got != c.want {
			t.Errorf("Text(%q) = %q; want %q", c.text, got, c.want)
		}
	}
}

func TestTerm(t *testing.T) {
	if got, want := Term("-p", ".ce of it"), ".TP\n\\fB\\-p\\fR\n\\&.ce of it\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// groff renders it without a warning, and what is shown is the text.
func TestRendered(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("no groff here to judge the page: TestText has looked at its source")
		return
	}
	lines := []string{
		`it's \fBplain\fR`, ".SH not a section", "'br", "./run --x", "-p, --port `X`", ".ce of it", "~^", `"quoted"`,
	}
	page := ".TH \"" + Text("a-b") + "\" 1 \"\" \"" + Text(`x "1"`) + "\" \"\"\n.SH NAME\n.nf\n"
	for _, l := range lines {
		page += Text(l) + "\n"
	}
	cmd := exec.Command(groff, "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u")
	cmd.Stdin = strings.NewReader(page + ".fi\n" + Term("-x", "what"))
	var warnings strings.Builder
	cmd.Stderr = &warnings
	out, err := cmd.Output()
	if err != nil || warnings.Len() > 0 {
		t.Fatalf("%v\n%s", err, &warnings)
	}
	for _, want := range append(lines, `x "1"`, "-x") {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}
