// Package progress shows how a build goes on. On a terminal one line is redrawn: what runs, what it does, for how long;
// when a stage is done its line stays. Elsewhere each finished stage is one plain line. Quiet shows nothing. It writes
// to one writer, which is not stdout.
package progress

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"ukl/internal/build/stage"
	"ukl/internal/host/nix"
	"ukl/internal/host/printable"
	"ukl/internal/pin/pins"
)

// Options say how to show.
type Options struct {
	Terminal bool // redraw a line; Width must be set
	Colour   bool
	Quiet    bool
	Verbose  bool                  // the builders' output as well
	Width    func() int            // of the terminal, in columns
	Now      func() time.Time      // nil is time.Now
	Built    func(drv string) bool // tells a good end of a stage from a bad one; nil believes in good ends
}

// Display shows one build. Its methods may be called from any goroutine.
type Display struct {
	w io.Writer
	o Options

	mu      sync.Mutex
	running []*running
	fetch   *fetch
	idle    time.Time // since when Nix has something to build and builds nothing; zero if that is not so
	drawn   bool
	stop    chan struct{} // ends the redrawing; nil while none
}

type running struct {
	drv, title string
	start      time.Time
	phase      string
	files      int // compiled so far
}

type fetch struct {
	start time.Time
	last  pins.Progress
}

// redraw is how often elapsed times move on.
const redraw = 200 * time.Millisecond

// New returns a display that writes to w. Close it.
func New(w io.Writer, o Options) *Display {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Built == nil {
		o.Built = func(string) bool { return true }
	}
	return &Display{w: w, o: o}
}

// compiles tells whether a line of a build announces one more object file.
func compiles(line string) bool {
	word, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	switch word {
	case "CC", "AS", "HOSTCC", "gcc", "g++":
		return true
	}
	return strings.HasSuffix(word, "-gcc")
}

// Build shows an event of a build.
func (d *Display) Build(e nix.Event) {
	if d.o.Quiet {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endFetch()
	switch e.Kind {
	case nix.Plan:
		d.idle = d.o.Now()
		d.animate()
	case nix.Start:
		d.idle = time.Time{}
		if s, ok := stage.Of(e.Stage); ok {
			d.running = append(d.running, &running{drv: e.Drv, title: s.Title, start: d.o.Now()})
			d.animate()
		}
	case nix.Phase:
		if r := d.find(e.Drv); r != nil {
			r.phase = e.Text
		}
	case nix.Line:
		r := d.find(e.Drv)
		if r == nil {
			return
		}
		if compiles(e.Text) {
			r.files++
		}
		if d.o.Verbose {
			d.line(d.label(r.title), e.Text)
		}
	case nix.Stop:
		if r := d.find(e.Drv); r != nil {
			d.running = slices.DeleteFunc(d.running, func(o *running) bool { return o == r })
			verb := ""
			if !d.o.Built(e.Drv) {
				verb = "failed after "
			}
			d.line(d.label(r.title), verb+Elapsed(d.o.Now().Sub(r.start)))
		}
		if len(d.running) == 0 {
			d.idle = d.o.Now()
		}
	}
	d.draw()
}

// Fetch shows the state of downloads.
func (d *Display) Fetch(p pins.Progress) {
	if d.o.Quiet {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fetch == nil {
		d.fetch = &fetch{start: d.o.Now()}
		d.animate()
	}
	d.fetch.last = p
	if p.Files == p.AllFiles {
		d.endFetch()
	}
	d.draw()
}

// Say shows a line that stays: what a compiler says of what is being compiled.
func (d *Display) Say(line string) {
	if d.o.Quiet {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line("", line)
	d.draw()
}

// Note shows a line that stays, about what ukl itself met.
func (d *Display) Note(text string) { d.Say("ukl: " + text) }

// Alone removes the changing line while do, which may ask something, has the terminal.
func (d *Display) Alone(do func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	do()
}

// Close removes the changing line. Nothing is shown after it.
func (d *Display) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.erase()
	d.running, d.fetch, d.idle = nil, nil, time.Time{}
	if d.stop != nil {
		close(d.stop)
		d.stop = nil
	}
	d.o.Quiet = true
}

func (d *Display) find(drv string) *running {
	i := slices.IndexFunc(d.running, func(r *running) bool { return r.drv == drv })
	if i < 0 {
		return nil
	}
	return d.running[i]
}

func (d *Display) endFetch() {
	if d.fetch == nil {
		return
	}
	p := d.fetch.last
	d.line(d.label("pins"), fmt.Sprintf("%d files, %s, %s", p.Files, size(p.Bytes), Elapsed(d.o.Now().Sub(d.fetch.start))))
	d.fetch = nil
}

// animate starts to redraw by the clock.
func (d *Display) animate() {
	if !d.o.Terminal || d.stop != nil {
		return
	}
	stop := make(chan struct{})
	d.stop = stop
	go func() {
		for tick := time.NewTicker(redraw); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				d.mu.Lock()
				if d.stop == stop {
					d.draw()
				}
				d.mu.Unlock()
			}
		}
	}()
}

// line prints a line that stays: ukl's own label, and a text that may be somebody else's.
func (d *Display) line(label, text string) {
	d.erase()
	if label != "" {
		label += " "
	}
	fmt.Fprintf(d.w, "%s%s\n", label, printable.Line(strings.TrimSuffix(text, "\r")))
}

func (d *Display) erase() {
	if d.drawn {
		fmt.Fprint(d.w, "\r\x1b[K")
		d.drawn = false
	}
}

// draw writes the changing line, cut to the terminal's width: a wrapped line could not be erased.
func (d *Display) draw() {
	if !d.o.Terminal {
		return
	}
	text := printable.Line(d.status())
	if text == "" {
		d.erase()
		return
	}
	if r := []rune(text); len(r) >= d.o.Width() {
		text = string(r[:max(d.o.Width()-2, 0)]) + "…"
	}
	fmt.Fprint(d.w, "\r"+text+"\x1b[K")
	d.drawn = true
}

// status is the changing line.
func (d *Display) status() string {
	now := d.o.Now()
	if d.fetch != nil {
		p := d.fetch.last
		s := fmt.Sprintf("[pins] %s %d of %d files, %s of %s", bar(p.Bytes, p.AllBytes), p.Files, p.AllFiles, size(p.Bytes),
			size(p.AllBytes))
		if p.Source != "" {
			s += ", " + p.Source
		}
		return s + ", " + Elapsed(now.Sub(d.fetch.start))
	}
	if len(d.running) == 0 && !d.idle.IsZero() {
		// Another Nix may be building the same: ours then waits for it without a word.
		return "[nix] " + Elapsed(now.Sub(d.idle))
	}
	var parts []string
	for _, r := range d.running {
		s := "[" + r.title + "]"
		if r.phase != "" {
			s += " " + r.phase
		}
		s += " " + Elapsed(now.Sub(r.start))
		if r.files > 0 {
			s += fmt.Sprintf(", %d files", r.files)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "  ")
}

func (d *Display) label(title string) string {
	if d.o.Colour {
		return "\x1b[1m[" + title + "]\x1b[0m"
	}
	return "[" + title + "]"
}

// barWidth leaves room for the figures on a terminal of 80 columns.
const barWidth = 16

func bar(have, all int64) string {
	n := barWidth
	if all > 0 {
		n = int(min(have, all) * barWidth / all)
	}
	return strings.Repeat("█", n) + strings.Repeat("░", barWidth-n)
}

func size(bytes int64) string { return fmt.Sprintf("%d MB", (bytes+500_000)/1_000_000) }

// Elapsed is a duration for people: 0.4 s, 6.2 s, 161 s.
func Elapsed(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%d s", int(d.Seconds()+0.5))
}
