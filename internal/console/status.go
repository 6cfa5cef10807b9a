package console

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// The guest kernel's last words, in the contract between the kernel and ukl.
var (
	statusRE = regexp.MustCompile(`ukl: app (exited with status|killed by signal) (\d+)\s*$`)
	panicRE  = regexp.MustCompile(`Kernel panic - not syncing: .*`)
)

// Verdict is how the application ended, by the kernel's word.
type Verdict struct {
	Known  bool // the kernel gave a status
	Signal int  // that killed the application; 0 is none
	Status int
	Panic  string // the kernel's own death; it overrides the rest
}

// Journal is the kernel's log as it comes: it keeps the tail, finds the status and hands everything on. It is safe for use by
// one writer and any number of readers.
type Journal struct {
	mu      sync.Mutex
	dying   chan struct{}
	partial []byte
	tail    []string
	verdict Verdict
}

// NewJournal returns an empty journal.
func NewJournal() *Journal { return &Journal{dying: make(chan struct{})} }

// Dying is closed when the kernel has said that it dies.
func (j *Journal) Dying() <-chan struct{} { return j.dying }

const (
	tailLines = 25
	longest   = 4 << 10 // a line is cut there
)

// Write takes a piece of the log, of any length.
func (j *Journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := len(b)
	for {
		line, rest, ok := bytes.Cut(b, []byte{'\n'})
		if room := longest - len(j.partial); len(line) > room {
			line = line[:room]
		}
		j.partial = append(j.partial, line...)
		if !ok {
			return n, nil
		}
		j.line(strings.TrimRight(string(j.partial), "\r"))
		j.partial = j.partial[:0]
		b = rest
	}
}

func (j *Journal) line(s string) {
	if len(j.tail) == tailLines {
		j.tail = slices.Delete(j.tail, 0, 1)
	}
	j.tail = append(j.tail, s)
	if m := statusRE.FindStringSubmatch(s); m != nil {
		n, err := strconv.Atoi(m[2])
		if err != nil || n > 255 {
			return
		}
		// The last one counts: an application may write such a line into the log too, but not after its own end.
		j.verdict = Verdict{Known: true, Panic: j.verdict.Panic}
		if strings.HasPrefix(m[1], "killed") {
			j.verdict.Signal = n
		} else {
			j.verdict.Status = n
		}
	}
	if m := panicRE.FindString(s); m != "" && j.verdict.Panic == "" {
		j.verdict.Panic = m
		close(j.dying)
	}
}

// Verdict is what the log says so far.
func (j *Journal) Verdict() Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flush()
	return j.verdict
}

// Tail is the last lines.
func (j *Journal) Tail() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flush()
	return slices.Clone(j.tail)
}

// flush takes the unfinished line for a line: a machine that dies does not end it.
func (j *Journal) flush() {
	if len(j.partial) > 0 {
		j.line(strings.TrimRight(string(j.partial), "\r"))
		j.partial = j.partial[:0]
	}
}
