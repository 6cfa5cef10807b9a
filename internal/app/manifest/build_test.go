package manifest

import (
	"fmt"
	"strings"
	"testing"
)

// The limit of an archive is a size that a shell can compute with.
func TestLimit(t *testing.T) {
	for limit, good := range map[string]bool{
		"8G": true, "900M": true, "9999999G": true,
		"": false, "0G": false, "8": false, "8g": false, "8GiB": false, "10000000G": false, "8G\n": false, "$(x)G": false,
	} {
		text := fmt.Sprintf("build = ['make']\nprogram = 'x'\n[source]\nurl = 'file:///a.tar'\nsha256 = '%s'\nlimit = %q\n",
			strings.Repeat("0", 64), limit)
		m, err := Parse([]byte(text), Place{File: "ukl.toml", Base: "x"})
		switch {
		case good && (err != nil || m.Limit != limit):
			t.Errorf("%q: %v", limit, err)
		case !good && (err == nil || !strings.HasPrefix(err.Error(), "ukl.toml:6:9: limit: want a size such as")):
			t.Errorf("%q: %v", limit, err)
		}
	}
}

// Where keys stand is found in time that grows with the length of the text, also if it is one line. A test of the
// places themselves: the clock decides nothing.
func TestLocateLongLine(t *testing.T) {
	const n = 200_000
	text := "args = [" + strings.Repeat("'é', ", n) + "1]\n"
	_, err := Parse([]byte(text), Place{File: "ukl.toml", Base: "x"})
	want := fmt.Sprintf("ukl.toml:1:%d: args: want strings, not a number", len("args = [")+n*len("'e', ")+1)
	if err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
}
