package kconfig

import (
	"strings"
	"testing"

	"ukl/nixexprs"
)

// Every line of the configuration has a reason, and every reason a line.
func TestReasons(t *testing.T) {
	text, err := nixexprs.FS.ReadFile("linux/config")
	if err != nil {
		t.Fatal(err)
	}
	unused := reasons()
	options := Explained(string(text))
	if len(options) < 100 {
		t.Fatalf("%d lines", len(options))
	}
	for _, o := range options {
		if o.Reason == "" {
			t.Errorf("%s: why?", o.Line)
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(o.Line, "CONFIG_"), "=")
		delete(unused, name)
	}
	for name := range unused {
		t.Errorf("%s has a reason, and is in no line", name)
	}
	if got := Explained("# CONFIG_X=y\n\nCONFIG_NOBODY=y\n"); len(got) != 1 || got[0] != (Option{"CONFIG_NOBODY=y", ""}) {
		t.Errorf("Explained = %q", got)
	}
}
