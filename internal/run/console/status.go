package console

import (
	"bytes"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ukl/internal/report/crash"
)

// The guest kernel's last words, in the contract between the kernel and ukl. They are looked for in every line of every
// log.
const (
	exited  = "ukl: app exited with status "
	killed  = "ukl: app killed by signal "
	panicky = "Kernel panic - not syncing: "
)

// Lines of a stock kernel that explain a death. An exception's has its error code and the first number of all oopses.
const (
	starved  = "Out of memory: Killed process "
	unpacked = "Initramfs unpacking failed: "
	firstly  = " [#1]"
	atPlace  = "RIP: "
)

// scarce are what a panic says if the kernel had no memory left, by mm/oom_kill.c, mm/memblock.c, arch/x86/mm/init.c,
// init/initramfs.c, init/ring0.c.
func scarce() []string {
	return []string{
		"System is deadlocked on memory", "Out of memory", "out of memory", "no memory", "Failed to allocate ",
		"Cannot allocate ", "can't allocate ", "can not alloc memory", "ran out of memory", "initrd too large",
		"No space left on device",
	}
}

// noMemory tells whether a line ends with one of the errors that mean the same, of a write into the root file system
// and of execve().
func noMemory(s string) bool {
	return slices.ContainsFunc([]string{": -12", ": -28", "(error -12)", "(error -28)"},
		func(end string) bool { return strings.HasSuffix(s, end) })
}

// short tells whether a line says that the kernel lacks memory: a panic, or what comes before one that does not say
// why, as when the application could not become a file, and so there is nothing to boot.
func short(s string) bool {
	if at := strings.Index(s, panicky); at >= 0 {
		text := s[at+len(panicky):]
		return noMemory(text) || slices.ContainsFunc(scarce(), func(w string) bool { return strings.Contains(text, w) })
	}
	return noMemory(s) && (strings.Contains(s, "ring0: cannot ") || strings.Contains(s, "Starting init: "))
}

// unplugged is what a line says of a machine that a process has ended by reboot(), in kernel/reboot.c; "" if it says
// nothing of that. A machine without ACPI does not switch itself off: it halts.
func unplugged(s string) string {
	text := untimed(s)
	for said, did := range map[string]string{
		"Restarting system": "a process restarted it by reboot()", "System halted": halted,
		"Power down": "a process ended it by reboot()",
	} {
		if strings.HasPrefix(text, "reboot: "+said) {
			return did
		}
	}
	return ""
}

// halted is what unplugged says of a machine that stands still, and would for ever.
const halted = "a process halted it by reboot()"

// untimed is a line without its time stamp.
func untimed(s string) string {
	if strings.HasPrefix(s, "[") {
		if _, rest, ok := strings.Cut(s, "] "); ok {
			return rest
		}
	}
	return s
}

// causes are beginnings of lines.
func causes() []string { return []string{"BUG: ", "kernel BUG at ", "PANIC: ", "watchdog: BUG: "} }

// cause is a line's own words, without the time stamp, if they explain a death.
func cause(s string) string {
	text := untimed(s)
	for _, c := range causes() {
		if strings.HasPrefix(text, c) {
			return strings.TrimSpace(text)
		}
	}
	if before, _, ok := strings.Cut(text, firstly); ok && !strings.HasPrefix(text, "Oops") {
		if at := strings.LastIndex(before, ": "); at > 0 { // the error code is nobody's business
			before = before[:at]
		}
		return strings.TrimSpace(before)
	}
	return ""
}

// place is where the kernel was, from a line as "RIP: 0010:function+0x1/0x2".
func place(s string) string {
	_, rest, ok := strings.Cut(s, atPlace)
	_, where, colon := strings.Cut(rest, ":")
	if !ok || !colon {
		return ""
	}
	return strings.TrimSpace(where)
}

// ending reads a status at the end of a line: what it is and its number.
func ending(s string) (what string, n int, ok bool) {
	for _, what := range []string{exited, killed} {
		if at := strings.LastIndex(s, what); at >= 0 {
			digits := strings.TrimRight(s[at+len(what):], " \t\r")
			n, err := strconv.ParseUint(digits, 10, 8)
			return what, int(n), err == nil
		}
	}
	return "", 0, false
}

// Verdict is how the application ended, by the kernel's word.
type Verdict struct {
	Known  bool // the kernel gave a status
	Signal int  // that killed the application; 0 is none
	Status int
	Panic  string // the kernel's own death; it overrides the rest
	Cause  string // what the kernel said before it died; "" is nothing that would explain it
	Where  string // where the kernel was then: function+offset/size, or an address of the application; "" is unknown
	Memory bool   // the kernel had no memory left, for itself or for the application
	Runs   bool   // Panic is the end for ukl, but the kernel goes on
	Early  bool   // it goes on to start the application, which must not be
	Crash  string // the lines of the kernel's reports of crashes, before the status; package crash reads them
}

// Journal is the kernel's log as it comes: it keeps the tail, finds the status and hands everything on. It is safe for
// use by one writer and any number of readers.
type Journal struct {
	mu      sync.Mutex
	dying   chan struct{}
	partial []byte
	tail    []string
	crash   []string
	verdict Verdict
	refused func(string)
	told    int // to refused
}

// NewJournal returns an empty journal. refused is told what the kernel says of a parameter of its command line that it
// does not set; it may be nil.
func NewJournal(refused func(string)) *Journal {
	return &Journal{dying: make(chan struct{}), refused: refused}
}

// unset finds what the kernel says of a parameter that it does not set (process_sysctl_arg() in fs/proc/proc_sysctl.c).
var unset = regexp.MustCompile(`(?:Failed to|Error \S+ .* to) set sysctl parameter '.*`)

// mostUnset is how many such lines are told: a process of the guest can write them, too.
const mostUnset = 20

// Dying is closed when the kernel has said that it dies.
func (j *Journal) Dying() <-chan struct{} { return j.dying }

const (
	tailLines = 25
	longest   = 4 << 10 // a line is cut there
	// crashLines are those of some reports: more threads than that do not crash at once.
	crashLines = 200
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

// withoutPCI is what a kernel says on a machine that has no PCI (arch/x86/pci/init.c). It explains nothing.
const withoutPCI = "PCI: Fatal: No config space access function found"

func (j *Journal) line(s string) {
	if !strings.HasSuffix(s, withoutPCI) {
		if len(j.tail) == tailLines {
			j.tail = slices.Delete(j.tail, 0, 1)
		}
		j.tail = append(j.tail, s)
	}
	if said := unset.FindString(s); said != "" && j.refused != nil && j.told < mostUnset {
		j.told++
		j.refused(said)
	}
	if strings.Contains(s, crash.Mark) && len(j.crash) < crashLines {
		j.crash = append(j.crash, s)
	}
	if what, n, ok := ending(s); ok {
		// The last one counts: an application may write such a line into the log too, but not after its own end.
		v := j.verdict
		j.verdict = Verdict{
			Known: true, Panic: v.Panic, Cause: v.Cause, Where: v.Where, Memory: v.Memory,
			Runs: v.Runs, Early: v.Early, Crash: strings.Join(j.crash, "\n"),
		}
		if what == killed {
			j.verdict.Signal = n
		} else {
			j.verdict.Status = n
		}
	}
	v := &j.verdict
	switch {
	case v.Panic != "":
	case v.Cause == "":
		v.Cause = cause(s)
	case v.Where == "":
		v.Where = place(s)
	}
	v.Memory = v.Memory || strings.Contains(s, starved) || short(s)
	if v.Panic != "" {
		return
	}
	if at := strings.Index(s, unpacked); at >= 0 {
		// The kernel goes on, and would start the application without some of its files and without its arguments.
		v.Panic, v.Runs, v.Early = s[at:], true, true
		v.Memory = v.Memory || strings.HasSuffix(v.Panic, "write error")
	} else if did := unplugged(s); did != "" && (!v.Known || did == halted) {
		// The kernel's own restart is after the status. It never halts: a process has written the status, then.
		v.Panic, v.Runs = did, true
	} else if at := strings.Index(s, panicky); at >= 0 {
		v.Panic = s[at:]
	}
	if v.Panic != "" {
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

// Tail is the last lines, but for one that looks like the cause of anything and is not.
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
