package progress

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"time"

	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
)

// clock is moved by hand.
type clock struct{ now time.Time }

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

// build is a build of two stages, of which the second fails, after two downloads.
func build(d *Display, c *clock) {
	d.Fetch(pins.Progress{AllFiles: 2, AllBytes: 4e6, Source: "apt"})
	c.pass(time.Second)
	d.Fetch(pins.Progress{Files: 1, AllFiles: 2, Bytes: 1e6, AllBytes: 4e6, Source: "apt"})
	c.pass(time.Second)
	d.Fetch(pins.Progress{Files: 2, AllFiles: 2, Bytes: 4e6, AllBytes: 4e6, Source: "apt"})
	event := func(kind nix.Kind, stage, text string) {
		d.Build(nix.Event{Kind: kind, Stage: stage, Drv: stage + ".drv", Text: text})
	}
	event(nix.Plan, "", "")
	event(nix.Start, "gcc_12.deb", "")
	event(nix.Stop, "gcc_12.deb", "")
	event(nix.Start, "linux-objects", "")
	event(nix.Phase, "linux-objects", "compile")
	event(nix.Line, "linux-objects", "  CC      init/main.o")
	event(nix.Line, "linux-objects", "  LD      vmlinux.o")
	event(nix.Line, "linux-objects", "  CC      init/version.o")
	event(nix.Start, "app-hello", "")
	c.pass(161 * time.Second)
	event(nix.Stop, "linux-objects", "")
	c.pass(500 * time.Millisecond)
	event(nix.Line, "app-hello", "hello.c:1: error: x")
	event(nix.Stop, "app-hello", "")
	event(nix.Stop, "app-hello", "") // twice does no harm
}

func options(c *clock) Options {
	return Options{
		Now:   func() time.Time { return c.now },
		Built: func(drv string) bool { return !strings.HasPrefix(drv, "app") },
	}
}

func TestPiped(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1e9, 0)}
	d := New(&b, options(c))
	build(d, c)
	d.Close()
	const want = `[pins] 2 files, 4 MB, 2.0 s
[Linux objects] 161 s
[app] failed after 162 s
`
	if b.String() != want {
		t.Errorf("shown:\n%s\nwant:\n%s", &b, want)
	}
}

func TestVerbose(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1e9, 0)}
	o := options(c)
	o.Verbose = true
	build(New(&b, o), c)
	if !strings.Contains(b.String(), "[Linux objects]   CC      init/main.o\n") ||
		!strings.Contains(b.String(), "[app] hello.c:1: error: x\n") {
		t.Errorf("shown:\n%s", &b)
	}
}

// What a build, a server or a project says is shown, and not obeyed by the terminal; the bold labels are ukl's own.
func TestForeignText(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1e9, 0)}
	o := options(c)
	o.Terminal, o.Colour, o.Verbose, o.Width = true, true, true, func() int { return 200 }
	d := New(&b, o)
	const evil = "\x1b]0;title\a\r\nukl: forged"
	d.Fetch(pins.Progress{AllFiles: 2, AllBytes: 4e6, Source: evil})
	d.Fetch(pins.Progress{Files: 2, AllFiles: 2, Source: evil})
	for _, e := range []nix.Event{
		{Kind: nix.Start, Stage: "app-x", Drv: "x"},
		{Kind: nix.Phase, Stage: "app-x", Drv: "x", Text: evil},
		{Kind: nix.Line, Stage: "app-x", Drv: "x", Text: evil},
	} {
		d.Build(e)
	}
	d.Say(evil)
	d.Note(evil)
	const shown = `\x1b]0;title\x07\x0d\x0aukl: forged`
	got := b.String()
	d.Close()
	for _, want := range []string{
		"4 MB, " + shown + ", 0.0 s\x1b[K", "\r[app] " + shown + " 0.0 s\x1b[K", "\x1b[1m[app]\x1b[0m " + shown + "\n",
		"\x1b[K" + shown + "\n", "\x1b[Kukl: " + shown + "\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if strings.Contains(got, "\x1b]") || strings.Contains(got, "\nukl: forged") {
		t.Errorf("shown: %q", got)
	}
}

func TestQuiet(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1e9, 0)}
	o := options(c)
	o.Quiet, o.Terminal = true, true
	o.Width = func() int { return 80 }
	build(New(&b, o), c)
	if b.Len() > 0 {
		t.Errorf("shown: %q", &b)
	}
}

// screen is a terminal of one line that knows the two controls that are used.
func screen(s string) (lines []string, rest string) {
	line := []rune{}
	at := 0
	for r := []rune(s); len(r) > 0; {
		switch {
		case r[0] == '\n':
			lines, line, at = append(lines, string(line)), nil, 0
			r = r[1:]
		case r[0] == '\r':
			at = 0
			r = r[1:]
		case strings.HasPrefix(string(r), "\x1b[K"):
			line = line[:at]
			r = r[3:]
		default:
			line = append(line[:at], append([]rune{r[0]}, line[min(at+1, len(line)):]...)...)
			at++
			r = r[1:]
		}
	}
	return lines, string(line)
}

func TestTerminal(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1e9, 0)}
	o := options(c)
	o.Terminal = true
	o.Width = func() int { return 60 }
	d := New(&b, o)
	d.Fetch(pins.Progress{Files: 1, AllFiles: 2, Bytes: 1e6, AllBytes: 4e6, Source: "apt"})
	if _, now := screen(b.String()); now != "[pins] ████░░░░░░░░░░░░ 1 of 2 files, 1 MB of 4 MB, apt, 0…" {
		t.Errorf("while fetching: %q", now)
	}
	b.Reset()
	d.Build(nix.Event{Kind: nix.Plan, Total: 2})
	c.pass(3 * time.Second)
	d.Build(nix.Event{Kind: nix.Phase, Stage: "other", Drv: "o"})
	if _, now := screen(b.String()); now != "[nix] 3.0 s" {
		t.Errorf("while Nix waits: %q", now)
	}
	b.Reset()
	d.Build(nix.Event{Kind: nix.Start, Stage: "linux-objects", Drv: "l"})
	d.Build(nix.Event{Kind: nix.Phase, Stage: "linux-objects", Drv: "l", Text: "compile"})
	d.Build(nix.Event{Kind: nix.Line, Stage: "linux-objects", Drv: "l", Text: "  CC      init/main.o"})
	c.pass(61 * time.Second)
	d.Build(nix.Event{Kind: nix.Start, Stage: "glibc", Drv: "g"})
	if _, now := screen(b.String()); now != "[Linux objects] compile 61 s, 1 files  [glibc] 0.0 s" {
		t.Errorf("while building: %q", now)
	}
	d.Build(nix.Event{Kind: nix.Stop, Stage: "linux-objects", Drv: "l"})
	d.Build(nix.Event{Kind: nix.Stop, Stage: "glibc", Drv: "g"})
	d.Close()
	d.Close()
	lines, now := screen(b.String())
	if now != "" || lines[0] != "[Linux objects] 61 s" || lines[1] != "[glibc] 0.0 s" {
		t.Errorf("at the end: %q, then %q", lines, now)
	}
	n := b.Len()
	time.Sleep(2 * redraw)
	if b.Len() != n {
		t.Error("something is drawn after Close")
	}
}

func TestColour(t *testing.T) {
	var b bytes.Buffer
	c := &clock{time.Unix(1e9, 0)}
	o := options(c)
	o.Colour = true
	build(New(&b, o), c)
	if !strings.Contains(b.String(), "\x1b[1m[Linux objects]\x1b[0m 161 s\n") {
		t.Errorf("shown: %q", &b)
	}
}

func TestElapsed(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0.0 s", 6240 * time.Millisecond: "6.2 s", 10 * time.Second: "10 s",
		161 * time.Second: "161 s",
	} {
		if got := Elapsed(d); got != want {
			t.Errorf("Elapsed(%s) = %q; want %q", d, got, want)
		}
	}
	d := New(io.Discard, Options{}) // the zero options work
	d.Build(nix.Event{Kind: nix.Start, Stage: "glibc"})
	d.Close()
}
