package nix

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"

	"ukl/internal/cli/exit"
	"ukl/internal/host/userns"
)

// Kind of an Event.
type Kind int

const (
	Plan  Kind = iota // Total derivations will be built
	Start             // Stage begins
	Phase             // Stage says what it does now, in Text
	Line              // one line of Stage's log, in Text
	Stop              // Stage ended, well or not
)

// Event is one step of a build. Stage is the derivation's name (linux-objects, image-hello, gcc-12_....deb).
type Event struct {
	Kind  Kind
	Stage string
	Drv   string
	Text  string
	Total int
}

// Nix's exit codes of builds that did not succeed. A BuildError has them even where a daemon kept Nix from ending with
// them.
const (
	Failed           = 100
	TimedOut         = 101
	HashMismatch     = 102
	NotDeterministic = 104
)

// BuildError is a builder that failed.
type BuildError struct {
	Stage string
	Drv   string
	// Lines begin at the first compiler or linker error of the log; without one they are the log's last lines.
	Lines      []string
	LogCommand string // shows the whole log
	Code       int    // Nix's exit code
	Reason     string // Nix's words
	Got        string // of a hash mismatch: the hash of what was built
}

// ExitCode is the code of a command that this ends.
func (e *BuildError) ExitCode() exit.Code {
	if e.Code == HashMismatch {
		return exit.Pin
	}
	return exit.BuildFailed
}

// Details are the lines of the log that explain the failure.
func (e *BuildError) Details() []string { return e.Lines }

// Hint is the command that shows the whole log.
func (e *BuildError) Hint() string { return "the whole log: " + e.LogCommand }

// NoSandbox says that Nix could not make the sandbox that every build of ours wants.
type NoSandbox struct {
	Said string // Nix's words
}

func (e *NoSandbox) Error() string {
	return "Nix cannot make its sandbox: this machine forbids user namespaces"
}

// Hint is what allows them.
func (e *NoSandbox) Hint() string { return userns.Remedy() }

// Details are Nix's words.
func (e *NoSandbox) Details() []string { return []string{e.Said} }

func (e *BuildError) Error() string {
	switch e.Code {
	case NotDeterministic:
		return fmt.Sprintf("%s: two builds differ", e.Stage)
	case HashMismatch:
		return fmt.Sprintf("%s: %s", e.Stage, e.Reason)
	}
	return fmt.Sprintf("building %s: %s", e.Stage, e.Reason)
}

// Build instantiates and realises a request and returns its first output path. events may be nil; it is called from one
// goroutine, and must return quickly.
func (c *Client) Build(ctx context.Context, r Request, events func(Event)) (string, error) {
	drv, err := c.Instantiate(ctx, r)
	if err != nil {
		return "", err
	}
	return c.Realise(ctx, drv, r.Root, events)
}

// Realise builds a derivation, or finds it built. root is as in Request.
func (c *Client) Realise(ctx context.Context, drv, root string, events func(Event)) (string, error) {
	var args []string
	if root != "" {
		args = []string{"--add-root", root}
	}
	return c.realise(ctx, drv, args, root, events)
}

// Check builds an already built derivation again and compares: the error's Code is 104 if the two differ. What the
// second build made is then at Again(path).
func (c *Client) Check(ctx context.Context, drv string, events func(Event)) error {
	// A hook is what Nix keeps it for. An empty one is not run, and --keep-failed would keep the build directory, too.
	_, err := c.realise(ctx, drv, []string{"--check", "--option", "run-diff-hook", "true", "--option", "diff-hook", ""},
		"", events)
	return err
}

// Again is where a Check that failed leaves what should have been the store path. It is no path of the store's
// database.
func Again(path string) string { return path + ".check" }

func (c *Client) realise(ctx context.Context, drv string, extra []string, root string,
	events func(Event),
) (string, error) {
	if events == nil {
		events = func(Event) {}
	}
	cmd := c.command(ctx, "nix-store", slices.Concat([]string{"--realise", drv, "--log-format", "internal-json"}, extra,
		c.settings(), c.subs())...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	var stdout strings.Builder
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		return "", err
	}
	log := newLog(events)
	log.read(stderr)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		return "", log.failure(cmd, err)
	}
	out := strings.Fields(stdout.String())
	if root != "" {
		p, err := os.Readlink(root)
		return p, err
	}
	if len(out) == 0 {
		return "", fmt.Errorf("nix-store printed no path for %s", drv)
	}
	return out[0], nil
}

// Name is the derivation's name in a store path of it: /nix/store/<32>-linux-objects.drv is linux-objects.
func Name(drv string) string {
	name := strings.TrimSuffix(path.Base(drv), ".drv")
	if len(name) > 33 && name[32] == '-' {
		return name[33:]
	}
	return name
}

// Activity and result types of Nix's logging.hh; all others are ignored.
const (
	activityBuild = 105
	resultLine    = 101
	resultPhase   = 104
)

// entry is one "@nix" line.
type entry struct {
	Action string
	ID     uint64
	Type   int
	Level  int
	Msg    string
	RawMsg string `json:"raw_msg"`
	Fields []json.RawMessage
}

func (e entry) field(i int) string {
	var s string
	if i < len(e.Fields) {
		_ = json.Unmarshal(e.Fields[i], &s) // a number where text was expected is no text
	}
	return s
}

// log follows Nix's internal-json log. Lines it does not know are kept as text, never an error: the format grows.
type log struct {
	events  func(Event)
	builds  map[uint64]string // activity to derivation
	tails   map[string]*tail  // by derivation
	stopped string            // the derivation whose build ended last
	errs    []string          // Nix's own errors, in order
	text    []string          // lines outside the protocol
}

func newLog(events func(Event)) *log {
	return &log{events: events, builds: map[uint64]string{}, tails: map[string]*tail{}}
}

func (l *log) read(r io.Reader) {
	br := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := br.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			l.line(line)
		}
		if err != nil {
			return
		}
	}
}

// readable is a line of a log without what Nix itself mixes into it. Where Nix until 2.24 cannot start a builder, it
// writes the error into the log in a binary form, the words being the longest that stands between zeros. A lone 1 comes
// before it.
func readable(line string) string {
	if line == "\x01" {
		return ""
	}
	if !strings.Contains(line, "\x00") {
		return line
	}
	words := slices.MaxFunc(strings.Split(line, "\x00"), func(a, b string) int { return cmp.Compare(len(a), len(b)) })
	return "error: " + words
}

var planRE = lazy(`^(?:these (\d+) derivations|this derivation) will be built:`)

func (l *log) line(s string) {
	body, ok := strings.CutPrefix(s, "@nix ")
	var e entry
	if !ok || json.Unmarshal([]byte(body), &e) != nil {
		l.text = append(l.text, stripColour(s))
		return
	}
	switch e.Action {
	case "start":
		if e.Type != activityBuild {
			return
		}
		drv := e.field(0)
		l.builds[e.ID] = drv
		l.tails[drv] = &tail{}
		l.events(Event{Kind: Start, Stage: Name(drv), Drv: drv})
	case "stop":
		if drv, ok := l.builds[e.ID]; ok {
			delete(l.builds, e.ID)
			l.stopped = drv
			l.events(Event{Kind: Stop, Stage: Name(drv), Drv: drv})
		}
	case "result":
		drv, ok := l.builds[e.ID]
		if !ok {
			return
		}
		switch text := readable(stripColour(e.field(0))); e.Type {
		case resultLine:
			if text == "" && e.field(0) != "" {
				return
			}
			l.tails[drv].add(text)
			l.events(Event{Kind: Line, Stage: Name(drv), Drv: drv, Text: text})
		case resultPhase:
			l.events(Event{Kind: Phase, Stage: Name(drv), Drv: drv, Text: text})
		}
	case "msg":
		msg := stripColour(e.Msg)
		if m := planRE().FindStringSubmatch(msg); m != nil {
			n, _ := strconv.Atoi(m[1])
			l.events(Event{Kind: Plan, Total: max(1, n)})
		}
		if e.Level == 0 {
			if e.RawMsg != "" {
				msg = stripColour(e.RawMsg)
			}
			if msg = strings.TrimPrefix(msg, "error: "); strings.TrimSpace(msg) != "" {
				l.errs = append(l.errs, msg)
			}
		}
	}
}

// Nix's words for a build that did not succeed, and the code that goes with them: a daemon keeps its own for itself,
// and the client then ends with 1.
var (
	failedRE   = lazy(`builder for '([^']+\.drv)' (failed[^;:,\n]*)`)                              // until 2.30
	cannotRE   = lazy(`Cannot build '([^']+\.drv)'\.\s+Reason: (?:builder )?([^\n]+?)\.?(?:\n|$)`) // later
	dependsRE  = lazy(`dependenc(y|ies) (failed|of derivation)`)
	mismatchRE = lazy(`hash mismatch in fixed-output derivation '([^']+\.drv)'`)
	differsRE  = lazy(`derivation '([^']+\.drv)' may not be deterministic`)
	timeoutRE  = lazy(`(?:building of '([^'!^]+\.drv)[!^]?.*' from .drv file )?(timed out after .*)`)
	gotRE      = lazy(`got:\s+(sha256-\S+)`)
	drvRE      = lazy(`'(/nix/store/[^']+\.drv)'`)
	sandboxRE  = lazy(`unable to start build process|does not support the kernel namespaces|cloning builder process`)
)

// failure makes the error of a realisation that ended badly. Nix reports the builder first and dependents after it.
func (l *log) failure(cmd *exec.Cmd, err error) error {
	code := -1
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	all := append(slices.Clone(l.errs), l.text...)
	for _, msg := range all {
		if e := l.ending(msg); e != nil {
			return e
		}
	}
	for _, msg := range all {
		if sandboxRE().MatchString(msg) {
			return &NoSandbox{Said: msg}
		}
		if none := noStore(msg); none != nil {
			return none
		}
	}
	for _, msg := range all {
		if m := drvRE().FindStringSubmatch(msg); m != nil &&
			(code == TimedOut || code == HashMismatch || code == NotDeterministic) {
			return l.buildError(m[1], oneLine(msg), code)
		}
	}
	text := err.Error()
	if len(all) > 0 {
		text = all[0]
	}
	return &CommandError{quote(cmd.Args), code, text}
}

// ending reads one of Nix's errors; it is nil for one that does not tell how a build ended, or only that others did.
func (l *log) ending(msg string) *BuildError {
	if m := failedRE().FindStringSubmatch(msg); m != nil {
		reason, _, _ := strings.Cut(m[2], " at '")
		reason, _, _ = strings.Cut(reason, ` at "`)
		return l.buildError(m[1], reason, Failed)
	}
	if m := cannotRE().FindStringSubmatch(msg); m != nil && !dependsRE().MatchString(m[2]) {
		return l.buildError(m[1], m[2], Failed)
	}
	if m := mismatchRE().FindStringSubmatch(msg); m != nil {
		e := l.buildError(m[1], oneLine(msg), HashMismatch)
		if g := gotRE().FindStringSubmatch(msg); g != nil {
			e.Got = g[1]
		}
		return e
	}
	if m := differsRE().FindStringSubmatch(msg); m != nil {
		return l.buildError(m[1], oneLine(msg), NotDeterministic)
	}
	// Nix 2.34 does not say what timed out: it is the build that it stopped last.
	if m := timeoutRE().FindStringSubmatch(msg); m != nil && (m[1] != "" || l.stopped != "") {
		return l.buildError(cmp.Or(m[1], l.stopped), m[2], TimedOut)
	}
	return nil
}

// oneLine joins the lines of a message.
func oneLine(msg string) string { return strings.Join(strings.Fields(msg), " ") }

func (l *log) buildError(drv, reason string, code int) *BuildError {
	e := &BuildError{Stage: Name(drv), Drv: drv, Reason: reason, LogCommand: "nix-store --read-log " + drv, Code: code}
	if r := remote(); r != os.Getenv("NIX_REMOTE") {
		e.LogCommand = fmt.Sprintf("NIX_REMOTE='%s' %s", r, e.LogCommand)
	}
	if t := l.tails[drv]; t != nil {
		e.Lines = t.lines()
	}
	return e
}

// tail keeps what a person wants to see of a failed build's log.
type tail struct {
	last  []string
	first []string // from the first error on
}

const tailLines = 20

var errorRE = lazy(`(?i)(^|[\s:])(fatal error|error|undefined reference to|multiple definition of)\b.*|^stage0: |: not found$|^make.*\*\*\* `)

func (t *tail) add(line string) {
	if len(t.first) > 0 && len(t.first) < tailLines {
		t.first = append(t.first, line)
	}
	// "make: *** [...] Error 2" alone is an echo of an error before it, but the first sign of a silent one.
	if len(t.first) == 0 && errorRE().MatchString(line) && !harmless(line) {
		t.first = append(t.first, t.before(line)...)
		t.first = append(t.first, line)
	}
	if len(t.last) == tailLines {
		t.last = t.last[1:]
	}
	t.last = append(t.last, line)
}

// before are the lines that belong to the first error and stand before it.
func (t *tail) before(line string) []string {
	n := len(t.last)
	if n > 0 && strings.Contains(t.last[n-1], ": In function") {
		return slices.Clone(t.last[n-1:])
	}
	// The linker's own words do not say "error"; its warnings end nothing.
	if strings.HasPrefix(line, "collect2: error:") {
		for n > 0 && strings.Contains(t.last[n-1], "/ld: ") {
			n--
		}
		return slices.DeleteFunc(slices.Clone(t.last[n:]), func(l string) bool { return strings.Contains(l, " warning: ") })
	}
	return nil
}

// harmless are lines about errors that are none: file names such as error.o, options such as -Werror.
func harmless(line string) bool {
	if strings.Contains(strings.ToLower(line), "error:") || strings.HasPrefix(line, "CMake Error ") ||
		strings.Contains(line, "***") || strings.Contains(line, "undefined reference") ||
		strings.Contains(line, "multiple definition") || strings.HasPrefix(line, "stage0: ") ||
		strings.HasSuffix(line, ": not found") {
		return false
	}
	return true
}

func (t *tail) lines() []string {
	if len(t.first) > 0 {
		return t.first
	}
	return t.last
}
