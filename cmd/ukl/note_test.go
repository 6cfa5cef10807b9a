package main

import (
	"bytes"
	"flag"
	"testing"

	"github.com/urfave/cli/v2"
)

// A note is one line, and a terminal does not obey what it quotes: names of a program's libraries, say.
func TestNote(t *testing.T) {
	var b bytes.Buffer
	c := cli.NewContext(cli.NewApp(), flag.NewFlagSet("", flag.ContinueOnError), nil)
	(&tool{stderr: &b}).note(c, "none has %s: %d", "\x1b]0;title\alibx.so\nukl: error", 7)
	if got, want := b.String(), `ukl: none has \x1b]0;title\x07libx.so\x0aukl: error: 7`+"\n"; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}
