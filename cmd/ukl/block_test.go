package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"ukl/internal/app/manifest"
)

// inBackground is the end of a COMMAND of block that serves until it is interrupted.
const inBackground = " &"

// longest is how long a command of a block may take: one of them compiles a kernel.
const longest = 30 * time.Minute

// writesFile tells whether an argument of block is the name of a file to write, after ">".
func writesFile(arg string) bool { return strings.HasPrefix(arg, ">") }

// begins tells whether a command begins so.
func (c shownCommand) begins(text string) bool { return strings.HasPrefix(c.text, text) }

// chooses tells whether COMMANDs of block are to run a command: none run all.
func chooses(chosen []string, c shownCommand) bool {
	return len(chosen) == 0 || slices.ContainsFunc(chosen, func(begin string) bool {
		return c.begins(strings.TrimSuffix(begin, inBackground))
	})
}

// find is the index of the block of a page whose first line begins with a text. There must be one.
func find(blocks []codeBlock, page, line string) (int, error) {
	at := -1
	for i, b := range blocks {
		switch {
		case b.page != page || !strings.HasPrefix(b.lines[0], line):
		case at >= 0:
			return -1, fmt.Errorf("%s has two blocks %q", page, line)
		default:
			at = i
		}
	}
	if at < 0 {
		return -1, fmt.Errorf("%s has no block %q", page, line)
	}
	return at, nil
}

// block PAGE 'LINE' [COMMAND...] runs a block of a page of $REPOSITORY in the script's directory: the one whose first
// line begins with LINE. A ukl.toml that it shows is written first. Each command runs in a shell of its own, but for
// `cd DIR`, which is the script's. What the page says that a command prints must be among what it prints, in that
// order, whatever the numbers are. A line "..." is any lines.
//
// With COMMANDs, which are beginnings, only these run. `COMMAND &` serves, as in a terminal of its own: what comes next
// waits until somebody listens there, and `interrupt` ends it. Instead of COMMANDs, `>FILE` writes the lines of the
// block to a file.
func block(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: block PAGE 'FIRST LINE' [COMMAND [&]|>FILE]...")
	}
	all, err := codeBlocks(ts.Getenv("REPOSITORY"), args[0])
	ts.Check(err)
	at, err := find(all, args[0], args[1])
	ts.Check(err)
	b, chosen := all[at], args[2:]
	if len(chosen) == 1 && writesFile(chosen[0]) {
		text := strings.Join(b.lines, "\n") + "\n"
		ts.Check(os.WriteFile(ts.MkAbs(chosen[0][1:]), []byte(text), 0o644))
		return
	}
	if toml := b.manifest(); toml != "" {
		ts.Check(os.WriteFile(ts.MkAbs(manifest.File), []byte(toml), 0o644))
	}
	ran := 0
	for _, c := range b.commands() {
		if !chooses(chosen, c) {
			continue
		}
		ran++
		dir, goes := strings.CutPrefix(c.text, "cd ")
		switch {
		case goes:
			ts.Check(ts.Chdir(ts.MkAbs(dir)))
		case slices.ContainsFunc(chosen, func(s string) bool {
			begin, background := strings.CutSuffix(s, inBackground)
			return background && c.begins(begin)
		}):
			ts.Value(serverKey{}).(*server).open(ts, b, c)
		default:
			if err := ts.Exec("timeout", strconv.Itoa(int(longest.Seconds())), "bash", "-ec", c.text); err != nil {
				ts.Fatalf("%s: %s: %v", b, c.text, err)
			}
			printed(ts, b, c, ts.ReadFile("stdout")+ts.ReadFile("stderr"))
		}
	}
	if ran < max(len(chosen), 1) && b.manifest() == "" {
		ts.Fatalf("%s: %d commands ran", b, ran)
	}
}

// printed demands that a command printed what the page says.
func printed(ts *testscript.TestScript, b codeBlock, c shownCommand, output string) {
	if missing := lacking(c.output, output); missing != "" {
		ts.Fatalf("%s: %s does not print %q, but\n%s", b, c.text, missing, output)
	}
}

// passing are lines that a command may print or not, by what is built already and by what the machine has, and what is
// typed to end it.
var passing = regexp.MustCompile(`^(|\.\.\.|\^C|\[[a-z ]+\] [0-9.]+ s|ukl: no KVM, .*)$`)

// lacking is the first of lines that does not come after those before it in an output; "" if all are there.
func lacking(lines []string, output string) string {
	numbers := regexp.MustCompile(`[0-9]+([.:][0-9]+)*`)
	rest := strings.Split(numbers.ReplaceAllString(output, "#"), "\n")
	for _, l := range lines {
		if passing.MatchString(l) {
			continue
		}
		at := slices.Index(rest, numbers.ReplaceAllString(l, "#"))
		if at < 0 {
			return l
		}
		rest = rest[at+1:]
	}
	return ""
}

// server is where a script has a command of a block that serves, beside its own.
type server struct {
	t       testscript.T
	block   codeBlock
	command shownCommand
	cmd     *exec.Cmd // nil if nothing serves
	ended   chan error
	out     *growing // of both streams
}

// growing is the output of a process that still runs.
type growing struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (g *growing) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.Write(p)
}

func (g *growing) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.String()
}

// beforeCtrlC are the lines of a page that are printed before it shows Ctrl-C.
func beforeCtrlC(lines []string) []string {
	if at := slices.Index(lines, "^C"); at >= 0 {
		return lines[:at]
	}
	return lines
}

type serverKey struct{}

// said is how long a command that serves may take to print what its page shows.
const said = 20 * time.Second

// open starts a command, and returns when a process of its group listens on a TCP port.
func (s *server) open(ts *testscript.TestScript, b codeBlock, c shownCommand) {
	if s.cmd != nil {
		ts.Fatalf("%s: %s still serves", b, s.command.text)
	}
	ts.Check(ts.Exec("env", "-0")) // the script's environment
	env := strings.Split(strings.TrimSuffix(ts.ReadFile("stdout"), "\x00"), "\x00")
	*s = server{
		t: s.t, block: b, command: c, cmd: exec.Command("bash", "-ec", c.text), ended: make(chan error, 1), out: &growing{},
	}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = ts.MkAbs("."), env, s.out, s.out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ts.Check(s.cmd.Start())
	cmd, ended := s.cmd, s.ended
	go func() { ended <- cmd.Wait() }()
	ts.Defer(func() {
		if s.cmd == cmd {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may just have ended
			<-ended
			s.t.Log(fmt.Sprintf("%s: nobody interrupts %s\n%s", b, c.text, s.out))
			s.t.FailNow() // ts.Fatalf is for commands of the script
		}
	})
	for end := time.Now().Add(longest); !listens(cmd.Process.Pid); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-ended:
			s.cmd = nil
			ts.Fatalf("%s: %s does not serve: %v\n%s", b, c.text, err, s.out)
		default:
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: %s does not listen", b, c.text)
		}
	}
}

// interrupt CODE ends what a block serves, by Ctrl-C, and demands its exit code and what the page says that it prints.
func interrupt(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: interrupt CODE")
	}
	s := ts.Value(serverKey{}).(*server)
	if s.cmd == nil {
		ts.Fatalf("no block serves")
	}
	// Its port was open before it had anything to say: ukl itself opens it.
	shown := beforeCtrlC(s.command.output)
	for end := time.Now().Add(said); lacking(shown, s.out.String()) != "" && time.Now().Before(end); {
		time.Sleep(50 * time.Millisecond)
	}
	ts.Check(syscall.Kill(-s.cmd.Process.Pid, syscall.SIGINT))
	var err error
	select {
	case err = <-s.ended:
	case <-time.After(patience):
		ts.Fatalf("%s: %s does not end", s.block, s.command.text)
	}
	s.cmd = nil
	ts.Logf("%s", s.out)
	demand(ts, args[0], err)
	printed(ts, s.block, s.command, s.out.String())
}

// listens tells whether a process of a group has a TCP socket that listens.
func listens(group int) bool {
	sockets := map[string]bool{}
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(file) // a kernel may lack IPv6
		for line := range strings.Lines(string(text)) {
			const state, inode = 3, 9
			if f := strings.Fields(line); len(f) > inode && f[state] == "0A" {
				sockets["socket:["+f[inode]+"]"] = true
			}
		}
	}
	descriptors, _ := filepath.Glob("/proc/[0-9]*/fd/[0-9]*")
	for _, d := range descriptors {
		to, err := os.Readlink(d)
		if err != nil || !sockets[to] {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(d, "/")[2])
		if of, err := syscall.Getpgid(pid); err == nil && of == group {
			return true
		}
	}
	return false
}

// place is a block, as scripts name it.
type place struct{ page, line string }

// runs are the blocks that scripts run, each with the COMMANDs that they choose. A line that has a condition counts.
func runs(t *testing.T) map[place][][]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	list := map[place][][]string{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^(?:\[.*?\] )*block (.*)$`).FindAllStringSubmatch(string(text), -1) {
			w := scriptWords(m[1])
			if len(w) < 2 {
				t.Errorf("%s: %s: a block needs a page and a line", f, m[0])
				continue
			}
			at := place{w[0], w[1]}
			list[at] = append(list[at], w[2:])
		}
	}
	return list
}

// scriptWords are the words of a line of a script, without quotes.
func scriptWords(line string) (words []string) {
	for _, w := range regexp.MustCompile(`#.*|(?:'(?:[^']|'')*'|[^'\s])+`).FindAllString(line, -1) {
		if strings.HasPrefix(w, "#") {
			break
		}
		const quote = "\x00"
		w = strings.ReplaceAll(strings.ReplaceAll(w, "''", quote), "'", "")
		words = append(words, strings.ReplaceAll(w, quote, "'"))
	}
	return words
}

// A block can pass, and fail: by its page, its commands and what they print, and by a server that is none, that ends by
// itself, with another code or other output, or that nobody ends.
func TestBlockCanFail(t *testing.T) {
	const files = `
-- page.md --
A page.

    $ echo it is 7:03 now
    it is 9:55 now
    $ printf 'more\nor\nless\n'
    more
    ...
    less
    $ echo 'nobody''s'
    somebody's

Servers, and one that is none.

    $ ukl run --accel tcg -p $P:80 --kernel served
    Listening on port 80.
    ^C
    $ echo beside it
    $ ukl run -q --accel tcg -p $P:80 --kernel served
    Listening at port 80.

A folder.

    cd sub
    go version >here

What is no command.

    { text }
      more

Two that begin alike.

    $ true || false

And.

    $ true

One that fails.

    $ false
-- sub/there --
-- served --
out Listening on port 80.
echo
on 2 log ukl: app exited with status 130; quit 0
sleep 60s
`
	const starts = "port P\nblock page.md '$ ukl run' '"
	for name, c := range map[string]struct{ script, why string }{
		"passes":   {"block page.md '$ echo' 'echo it' printf", ""},
		"missing":  {"block page.md '$ echo'", `echo 'nobody''s' does not print "somebody's"`},
		"folder":   {"block page.md 'cd sub'\nexists there here", ""},
		"file":     {"block page.md '{' '>f'\ncmp f want\n-- want --\n{ text }\n  more", ""},
		"page":     {"block other.md 'x'", "other.md: no such file"},
		"line":     {"block page.md 'x'", `page.md has no block "x"`},
		"two":      {"block page.md '$ tr'", `page.md has two blocks "$ tr"`},
		"command":  {"block page.md '$ echo' 'echo it' nothing", "1 commands ran"},
		"fails":    {"block page.md '$ false' false", "exit status 1"},
		"usage":    {"block page.md", "usage: block"},
		"served":   {starts + "ukl run --accel &' 'echo beside'\ninterrupt 130\nalone", ""},
		"both":     {starts + "ukl run &'", "still serves"},
		"code":     {starts + "ukl run --accel &'\ninterrupt 0", "exit code 130, not 0"},
		"output":   {starts + "ukl run -q &'\ninterrupt 130", `does not print "Listening at port 80."`},
		"left":     {starts + "ukl run --accel &'", "nobody interrupts"},
		"no":       {"interrupt 130", "no block serves"},
		"by":       {"interrupt", "usage: interrupt CODE"},
		"no serve": {"block page.md '$ echo' 'echo it &'", "echo it is 7:03 now does not serve"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := scripted(t, "env REPOSITORY=$WORK\n"+c.script+files)
			if log := q.log.String(); q.failed != (c.why != "") || !strings.Contains(log, c.why) {
				t.Errorf("failed: %v; want %q in\n%s", q.failed, c.why, log)
			}
		})
	}
}

// A command of a block is run or excused: not neither, and not both.
func TestUnsaid(t *testing.T) {
	text := func(name string) (string, error) {
		if name != "x.txtar" {
			return "", os.ErrNotExist
		}
		return "exits 0 ukl run -q --timeout 60s ./own\nexec ukl bench -q\nexec nix build --x .\n", nil
	}
	excuses := func(pairs ...string) *excuse {
		e := &excuse{commands: map[string]string{}}
		for i := 0; i < len(pairs); i += 2 {
			e.commands[pairs[i]] = pairs[i+1]
		}
		return e
	}
	own := "x.txtar: ukl run -q --timeout 60s ./own"
	for name, c := range map[string]struct {
		lines []string
		runs  [][]string
		why   *excuse
		want  string
	}{
		"all":         {[]string{"ukl ps", "ukl run"}, [][]string{nil}, nil, ""},
		"none":        {[]string{"ukl ps", "ukl run"}, nil, nil, `no script runs "ukl ps"`},
		"one":         {[]string{"ukl ps", "ukl run"}, [][]string{{"ukl ps"}}, nil, `no script runs "ukl run"`},
		"both":        {[]string{"ukl ps", "ukl run"}, [][]string{{"ukl ps"}, {"ukl run &"}}, nil, ""},
		"rest":        {[]string{"ukl ps", "ukl run"}, [][]string{{"ukl ps"}}, excuses("ukl run", "(a reason)"), ""},
		"more":        {[]string{"ukl ps", "ukl run", "ukl run x"}, nil, excuses("ukl ps", "(a)", "ukl run", own), ""},
		"twice":       {[]string{"ukl ps"}, [][]string{nil}, excuses("ukl ps", "(a)"), "is run, and has a reason"},
		"two":         {[]string{"ukl ps x"}, nil, excuses("ukl ps", "(a)", "ukl ps x", "(b)"), "has two reasons"},
		"gone":        {[]string{"ukl ps"}, [][]string{{"ukl ps", "ukl run"}}, nil, `runs "ukl run", and there is no`},
		"needless":    {[]string{"ukl ps"}, [][]string{nil}, excuses("ukl run", "(a)"), `no command "ukl run"`},
		"whole":       {[]string{"ukl ps"}, nil, &excuse{reason: "x"}, ""},
		"whole twice": {[]string{"ukl ps"}, [][]string{{"ukl ps"}}, &excuse{reason: "x"}, "has a reason not to be"},
		"picture":     {[]string{"a ---> b"}, nil, nil, "no script runs it"},
		"file":        {[]string{"a ---> b"}, [][]string{{">f"}}, nil, ""},
		"toml":        {[]string{`name = "x"`}, nil, nil, ""},
		"kin":         {[]string{"ukl run ./server --timeout=5s # a note"}, nil, excuses("ukl run", own), ""},
		"nix":         {[]string{"nix --y build .#linux"}, nil, excuses("nix", "x.txtar: nix build --x"), ""},
		"stale":       {[]string{"ukl run"}, nil, excuses("ukl run", "x.txtar: ukl run -v"), "does not contain"},
		"no script":   {[]string{"ukl run"}, nil, excuses("ukl run", "y.txtar: ukl run"), "not exist"},
		"another":     {[]string{"ukl run"}, nil, excuses("ukl run", "x.txtar: ukl bench -q"), "another command"},
		"option":      {[]string{"ukl run --volume a:b"}, nil, excuses("ukl run", "x.txtar: ukl run -q"), "another"},
		"nothing":     {[]string{"ukl run"}, nil, excuses("ukl run", "x.txtar: "), "does not contain"},
	} {
		got := strings.Join(unsaid(codeBlock{"p.md", 1, c.lines}, c.runs, c.why, text), "; ")
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// Words of a script are those that testscript makes of them.
func TestScriptWords(t *testing.T) {
	want := []string{"docs/x.md", "$ echo 'a'", "ukl run &", ">f"}
	if got := scriptWords(`docs/x.md '$ echo ''a''' 'ukl run &' >f # 'more'`); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
