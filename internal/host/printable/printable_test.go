package printable

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		"plain, größe\t1\r\n":     "plain, größe\t1\r\n",
		"\x1b]0;title\a\x1b[2J":   `\x1b]0;title\x07\x1b[2J`,
		"a\x00b\x7f":              `a\x00b\x7f`,
		"8-bit \u009b31m":         `8-bit \u009b31m`,
		"no UTF-8 \x9b31m \xffä":  `no UTF-8 \x9b31m \xffä`,
		"over the begin\rits end": `over the begin\x0dits end`,
		"a piece\r":               "a piece\r",
		"direction \u202e":        `direction \u202e`,
		"backspace over\b\b\b\b.": `backspace over\x08\x08\x08\x08.`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"plain\t1":          "plain\t1",
		"one\ntwo\r\n":      `one\x0atwo\x0d\x0a`,
		"over the begin\r":  `over the begin\x0d`,
		"\r\rtwice\x1b[31m": `\x0d\x0dtwice\x1b[31m`,
	} {
		if got := Line(in); got != want {
			t.Errorf("Line(%q) = %q; want %q", in, got, want)
		}
	}
}

// The text is the same value, and shows what a terminal would obey.
func TestJSON(t *testing.T) {
	for in, shown := range map[string]string{
		"plain, größe\n":        `"plain, größe\n"`,
		"8-bit \u009b31m\x7f":   `"8-bit \u009b31m\u007f"`,
		"other way \u202e":      `"other way \u202e"`,
		"beyond \U000e0041 𝄞 ä": `"beyond \udb40\udc41 𝄞 ä"`,
	} {
		text, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		got := JSON(string(text))
		if got != shown {
			t.Errorf("JSON(%s) = %s; want %s", text, got, shown)
		}
		var back string
		if err := json.Unmarshal([]byte(got), &back); err != nil || back != in {
			t.Errorf("%s is %q, %v; want %q", got, back, err, in)
		}
	}
}

func TestWriter(t *testing.T) {
	var b strings.Builder
	w := Writer(&b)
	for _, s := range []string{"one\n", "\x1b[1mtwo"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("Write(%q) = %d, %v", s, n, err)
		}
	}
	if got := b.String(); got != "one\n"+`\x1b[1mtwo` {
		t.Errorf("written was %q", got)
	}
}
