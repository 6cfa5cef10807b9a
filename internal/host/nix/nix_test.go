package nix

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// replay feeds a log that Nix wrote and returns what was told of it.
func replay(t *testing.T, name string) (*log, []Event) {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var events []Event
	l := newLog(func(e Event) { events = append(events, e) })
	l.read(f)
	return l, events
}

func kinds(events []Event) string {
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s\n", []string{"plan", "start", "phase", "line", "stop"}[e.Kind], e.Stage, e.Text)
	}
	return b.String()
}

func exitWith(t *testing.T, code int) (*exec.Cmd, error) {
	t.Helper()
	cmd := exec.Command("sh", "-c", fmt.Sprint("exit ", code))
	return cmd, cmd.Run()
}

// versions are those whose logs testdata/record has written.
var versions = []string{"2.8", "2.26", "2.34"}

// recorded is the log NAME-CODE.log of a version, and the exit code in its name.
func recorded(t *testing.T, version, name string) (file string, code int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", version, name+"-*.log"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s of Nix %s: %q, %v", name, version, files, err)
	}
	if _, err := fmt.Sscanf(filepath.Base(files[0]), name+"-%d.log", &code); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(version, filepath.Base(files[0])), code
}

func TestLogOfAGoodBuild(t *testing.T) {
	for _, version := range versions {
		file, code := recorded(t, version, "ok")
		_, events := replay(t, file)
		want := "plan  \nstart ok \nline ok hello\nphase ok two\nline ok bye\nstop ok \n"
		if got := kinds(events); got != want || code != 0 {
			t.Errorf("Nix %s: code %d, got\n%swant\n%s", version, code, got, want)
		}
		if events[0].Total != 1 {
			t.Errorf("Nix %s: planned %d", version, events[0].Total)
		}
	}
}

// Each version has its own words for a build that failed; a daemon keeps Nix's exit code for itself.
func TestLogOfAFailure(t *testing.T) {
	const (
		hello    = "sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM="
		mismatch = `^hash mismatch in fixed-output derivation '/nix/store/\w{32}-hash\.drv': specified: sha256-A+= got: ` +
			`sha256-WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=$`
	)
	compiler := []string{
		"x.c: In function 'main':", "x.c:3:1: error: 'y' undeclared (first use in this function)",
		"    3 | y = 1;",
	}
	for _, c := range []struct {
		name   string
		stage  string
		code   int
		reason string // a pattern
		lines  []string
		got    string
	}{
		{"failed", "failed", Failed, `^failed with exit code 1$`, compiler, ""},
		{"above", "failed", Failed, `^failed with exit code 1$`, compiler, ""},
		{"daemon", "failed", Failed, `^failed with exit code 1$`, compiler, ""},
		{"long", "long", Failed, `^failed with exit code 2$`, compiler, ""},
		{"silent", "silent", Failed, `^failed with exit code 3$`, nil, ""},
		{"killed", "killed", Failed, `^failed due to signal 9 \(Killed\)$`, []string{"before"}, ""},
		{
			"nobuilder", "nobuilder", Failed, `^failed with exit code 1$`,
			[]string{"error: executing '/none': No such file or directory"},
			"",
		},
		{"nooutput", "nooutput", Failed, `^failed to produce output path for output 'out'$`, []string{"done"}, ""},
		{"hash", "hash", HashMismatch, mismatch, nil, hello},
		{"abovehash", "hash", HashMismatch, mismatch, nil, hello},
		{"daemonhash", "hash", HashMismatch, mismatch, nil, hello},
		{"slow", "slow", TimedOut, `^timed out after 1 seconds$`, []string{"before"}, ""},
		{"mute", "mute", TimedOut, `^timed out after 1 seconds( of silence)?$`, []string{"before"}, ""},
		{"differs", "differs", NotDeterministic, `may not be deterministic`, nil, ""},
	} {
		for _, version := range versions {
			file, code := recorded(t, version, c.name)
			l, _ := replay(t, file)
			err := l.failure(exitWith(t, code))
			var b *BuildError
			if !errors.As(err, &b) {
				t.Errorf("%s: %T %v", file, err, err)
				continue
			}
			if b.Stage != c.stage || b.Code != c.code || b.Got != c.got ||
				!strings.HasSuffix(b.LogCommand, "nix-store --read-log "+b.Drv) {
				t.Errorf("%s: %+v", file, b)
			}
			if !regexp.MustCompile(c.reason).MatchString(b.Reason) {
				t.Errorf("%s: reason %q, want %s", file, b.Reason, c.reason)
			}
			if len(b.Lines) < len(c.lines) || !slices.Equal(b.Lines[:len(c.lines)], c.lines) {
				t.Errorf("%s: lines %q, want first %q", file, b.Lines, c.lines)
			}
		}
	}
}

func TestLogWithoutASandbox(t *testing.T) {
	for _, version := range versions {
		file, code := recorded(t, version, "sandbox")
		l, _ := replay(t, file)
		var none *NoSandbox
		if err := l.failure(exitWith(t, code)); !errors.As(err, &none) {
			t.Errorf("%s: %T %v", file, err, err)
		}
		file, code = recorded(t, version, "failed")
		l, _ = replay(t, file)
		if err := l.failure(exitWith(t, code)); errors.As(err, &none) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// gcc's colours stand inside of what a pattern looks for.
func TestLogWithColours(t *testing.T) {
	l, events := replay(t, "colours.log")
	if events[0].Total != 2 {
		t.Errorf("planned %d", events[0].Total)
	}
	err := l.failure(exitWith(t, 100))
	var b *BuildError
	if !errors.As(err, &b) {
		t.Fatalf("got %T %v", err, err)
	}
	if len(b.Lines) == 0 || b.Lines[0] != "a.c: In function 'main':" ||
		!strings.HasPrefix(b.Lines[1], "a.c:1:20: error: 'x' undeclared") {
		t.Errorf("the first error is not first: %q", b.Lines)
	}
	if got, want := err.Error(), "building bad: failed with exit code 1"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// gcc's warnings link to their descriptions where it takes its stderr for a terminal, as Nix gives to builders.
func TestStripColour(t *testing.T) {
	for in, want := range map[string]string{
		"\x1b[01;35mwarning: \x1b[mx [\x1b]8;;https://gcc.gnu.org/x#y\a-Wx\x1b]8;;\a]": "warning: x [-Wx]",
		"\x1b]8;;file:///\x1b\\a\x1b]8;;\x1b\\ b":                                      "a b",
		"\x1b]0;title\a": "\x1b]0;title\a",
		"\x1b]8;;no end": "\x1b]8;;no end",
	} {
		if got := stripColour(in); got != want {
			t.Errorf("stripColour(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestLogSurvivesTheUnknown(t *testing.T) {
	var events []Event
	l := newLog(func(e Event) { events = append(events, e) })
	l.read(strings.NewReader(`@nix {"action":"dance","id":"seven"}
@nix not json
@nix {"action":"result","id":99,"type":101,"fields":["nobody's"]}
@nix {"action":"start","id":1,"type":105,"fields":[]}
@nix {"action":"start","id":2,"type":4711,"fields":[1,2]}
plain text
@nix {"action":"msg","level":0,"msg":"` + "\\u001b[31;1merror:\\u001b[0m disk full" + `"}`))
	err := l.failure(exitWith(t, 1))
	var c *CommandError
	if !errors.As(err, &c) || c.Text != "disk full" || c.Code != 1 {
		t.Errorf("got %#v", err)
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []string
		want string
	}{
		{"silent", []string{"a", "b"}, "a"},
		{
			"linker",
			[]string{
				"CXX a.o", "/usr/bin/ld: a.o: warning: getpwnam",
				"/usr/bin/ld: attempted static link of dynamic object `libx.so'", "collect2: error: ld returned 1 exit status",
			},
			"/usr/bin/ld: attempted static link of dynamic object `libx.so'",
		},
		{
			"warned",
			[]string{"gcc -o a", "/usr/bin/ld: a.o: warning: getpwnam", "collect2: error: ld returned 1 exit status"},
			"collect2: error: ld returned 1 exit status",
		},
		{
			"cmake",
			[]string{"-- Detecting", "CMake Error at CMakeLists.txt:4 (find_package):", "  By not providing"},
			"CMake Error at CMakeLists.txt:4 (find_package):",
		},
		{
			"meson",
			[]string{"Run-time dependency x found: NO", "meson.build:3:0: ERROR: Dependency \"x\" not found"},
			"meson.build:3:0: ERROR: Dependency \"x\" not found",
		},
		{
			"compiler",
			[]string{"  CC      drivers/base/error.o", "gcc -Werror x.c", "x.c:1:1: error: no", "more"},
			"x.c:1:1: error: no",
		},
		{
			"linker",
			[]string{"  LD      app", "ld: a.o: in function `f':", "a.c:3: undefined reference to `g'"},
			"a.c:3: undefined reference to `g'",
		},
		{"configure", []string{"checking for x... no", "configure: error: x is needed"}, "configure: error: x is needed"},
		{"make alone", []string{"  GEN     x", "make: *** [Makefile:7: x] Error 2"}, "make: *** [Makefile:7: x] Error 2"},
		{"shell", []string{"/nix/store/s.sh: 3: rsync: not found"}, "/nix/store/s.sh: 3: rsync: not found"},
		{"script", []string{"error: the kernel has no function x"}, "error: the kernel has no function x"},
		{"stage0", []string{"stage0: error: a.deb: not an ar archive"}, "stage0: error: a.deb: not an ar archive"},
	} {
		var tl tail
		for _, l := range c.in {
			tl.add(l)
		}
		if got := tl.lines(); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s: %q, want first %q", c.name, got, c.want)
		}
	}
	var long tail
	for i := range 100 {
		long.add(fmt.Sprint(i))
	}
	if got := long.lines(); len(got) != tailLines || got[tailLines-1] != "99" {
		t.Errorf("long log: %q", got)
	}
}

func TestParseVersion(t *testing.T) {
	for in, want := range map[string]string{
		"nix-store (Nix) 2.8.0\n":                 "2.8.0",
		"nix-store (Nix) 2.31.2+1\n":              "2.31.2+1",
		"nix (Lix, like Nix) 2.93.0":              "2.93.0",
		"nix-store (Nix) 3.0pre20260101_abcdef\n": "",
	} {
		if got, err := parseVersion(in); err == nil && want != "" && got != want || err != nil && want != "" {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	var old TooOld
	if _, err := parseVersion("nix-store (Nix) 2.3.16"); !errors.As(err, &old) || old.Have != "2.3.16" {
		t.Errorf("got %v", err)
	}
	if _, err := parseVersion("who knows"); err == nil {
		t.Error("no version was read")
	}
}

func TestFindWithoutNix(t *testing.T) {
	if _, err := os.Stat("/nix/var/nix/profiles/default/bin/nix-store"); err == nil {
		t.Skip("Nix is where it is always found")
	}
	t.Setenv("PATH", t.TempDir())
	t.Setenv("HOME", t.TempDir())
	_, err := Find()
	var none NotFound
	if !errors.As(err, &none) || none.Hint() == "" {
		t.Errorf("got %v", err)
	}
}

// fake is a Client whose Nix is a shell script.
func fake(t *testing.T, script string) *Client {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "nix-store"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Client{dir: dir, subs: func() []string { return nil }}
}

func TestEveryCallIsSandboxed(t *testing.T) {
	c := fake(t, `echo "$@" >&2; exit 1`)
	_, err := c.Invalid(context.Background(), []string{"/nix/store/x"})
	var ce *CommandError
	if !errors.As(err, &ce) {
		t.Fatalf("got %v", err)
	}
	_, rerr := c.Realise(context.Background(), "/nix/store/x.drv", "", nil)
	for _, text := range []string{ce.Text, rerr.Error()} {
		for _, want := range []string{
			"--option sandbox true", "--option sandbox-fallback false",
			"--option extra-sandbox-paths ",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in %q", want, text)
			}
		}
	}
}

func TestCancelInterruptsAndWaits(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	c := fake(t, `trap 'echo interrupted >`+mark+`; exit 1' INT
echo '@nix {"action":"start","id":1,"type":105,"fields":["/nix/store/00000000000000000000000000000000-slow.drv"]}' >&2
while :; do sleep 0.05; done`)
	ctx, cancel := context.WithCancel(context.Background())
	start := time.Now()
	_, err := c.Realise(ctx, "/nix/store/x.drv", "", func(e Event) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(mark); string(b) != "interrupted\n" {
		t.Error("Nix was killed, not interrupted")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

// A Nix that goes on when it is interrupted loses its builders, and then has failed.
func TestCancelKillsBuilders(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	c := fake(t, `trap : INT
setsid sh -c 'trap "" INT; echo $$ >`+mark+`; while :; do sleep 0.05; done' &
until [ -s `+mark+` ]; do sleep 0.05; done
echo '@nix {"action":"start","id":1,"type":105,"fields":["/nix/store/00000000000000000000000000000000-slow.drv"]}' >&2
while kill -0 $(cat `+mark+`); do sleep 0.05; done 2>/dev/null
echo ended >>`+mark+`; exit 1`)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := c.Realise(ctx, "/nix/store/x.drv", "", func(Event) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if b, _ := os.ReadFile(mark); !strings.HasSuffix(string(b), "\nended\n") {
		t.Errorf("%q: the builder was not killed, or Nix was", b)
	}
}

func TestLastError(t *testing.T) {
	for text, want := range map[string]string{
		"error: one\nerror: two\n": "two",
		"warning: x\nerror: executing SQLite statement '\n  create\n  ': database or disk is full (in 'f')\n": "executing SQLite statement: database or disk is full (in 'f')",
		"words\n": "words",
		"":        "otherwise",
	} {
		if got := lastError(text, "otherwise"); got != want {
			t.Errorf("lastError(%q) = %q, want %q", text, got, want)
		}
	}
}

// Of a database that cannot be written, its file is said, and not the statement.
func TestOfDatabase(t *testing.T) {
	for text, want := range map[string]string{
		"executing SQLite statement: database or disk is full (in '/c/nix/x.sqlite')": "Nix cannot write /c/nix/x.sqlite: database or disk is full",
		"executing SQLite statement 'insert into x': database or disk is full":        "Nix cannot write its database: database or disk is full",
		"creating table: SQLite: attempt to write a readonly database (in '/d')":      "Nix cannot write /d: attempt to write a readonly database",
		"SQLite database '/d' is busy":                                                "SQLite database '/d' is busy",
		"two":                                                                         "two",
	} {
		if got := ofDatabase(text); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := quote([]string{
		"nix-store", "--option", "x", "",
		"it's",
	}), `nix-store --option x '' "it's"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// The rest talks to the Nix of this machine, in a store of its own.
func realNix(t *testing.T) *Client {
	t.Helper()
	root := t.TempDir()
	t.Setenv("NIX_REMOTE", "local?root="+root)
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", root).Run() })
	c, err := Find()
	if errors.As(err, new(NotFound)) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAddFixedAndInvalid(t *testing.T) {
	c := realNix(t)
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "some-file")
	os.WriteFile(file, []byte("hello\n"), 0o644)
	got, err := c.AddFixed(ctx, false, []string{file})
	if err != nil || len(got) != 1 || Name(got[0]) != "some-file" {
		t.Fatalf("%v %v", got, err)
	}
	absent := "/nix/store/00000000000000000000000000000000-absent"
	bad, err := c.Invalid(ctx, []string{got[0], absent})
	if err != nil || !slices.Equal(bad, []string{absent}) {
		t.Errorf("%v %v", bad, err)
	}
	if wrong, err := c.VerifyPaths(ctx, got); err != nil || len(wrong) != 0 {
		t.Errorf("%v %v", wrong, err)
	}
	os.Chmod(Physical(got[0]), 0o644)
	os.WriteFile(Physical(got[0]), []byte("HELLO\n"), 0o644)
	if wrong, err := c.VerifyPaths(ctx, got); err != nil || !slices.Equal(wrong, got) {
		t.Errorf("a changed file is not noticed: %v %v", wrong, err)
	}
}

func TestDumpAndRestore(t *testing.T) {
	c := realNix(t)
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "d")
	os.Mkdir(dir, 0o755)
	os.WriteFile(filepath.Join(dir, "f"), []byte("x"), 0o755)
	path, err := c.AddPath(ctx, "named", dir)
	if err != nil || Name(path) != "named" {
		t.Fatalf("%s %v", path, err)
	}
	nar, back := filepath.Join(t.TempDir(), "nar"), filepath.Join(t.TempDir(), "back")
	if err := c.Dump(ctx, path, nar); err != nil {
		t.Fatal(err)
	}
	r, err := os.Open(nar)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := c.Restore(ctx, r, back); err != nil {
		t.Fatal(err)
	}
	if again, err := c.AddPath(ctx, "named", back); err != nil || again != path {
		t.Errorf("%s, want %s: %v", again, path, err)
	}
}

func TestPlanAndInstantiate(t *testing.T) {
	c := realNix(t)
	ctx := context.Background()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "default.nix"), []byte(`{ word }: {
	  a = derivation { name = "a-${word}"; system = "x86_64-linux"; builder = "/none"; };
	  broken = throw "no ${word}";
	}`), 0o644)
	root := filepath.Join(dir, "root")
	drv, err := c.Instantiate(ctx, Request{Expr: dir, Attr: "a", Args: map[string]string{"word": "w"}, Root: root})
	if err != nil || Name(drv) != "a-w" {
		t.Fatalf("%s %v", drv, err)
	}
	plan, err := c.Plan(ctx, drv)
	if err != nil || !slices.Equal(plan, []string{drv}) {
		t.Errorf("%v %v", plan, err)
	}
	if _, err := c.Instantiate(ctx, Request{
		Expr: dir, Attr: "broken",
		Args: map[string]string{"word": "luck"},
	}); err == nil || err.Error() != "no luck" {
		t.Errorf("got %v", err)
	}
	_, err = c.Realise(ctx, drv, "", nil)
	var b *BuildError
	if !errors.As(err, &b) || b.Stage != "a-w" || b.Code != 100 {
		t.Errorf("got %v", err)
	}
}

// What another store has is asked without a word of warning.
func TestIn(t *testing.T) {
	c := realNix(t)
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "some-file")
	if err := os.WriteFile(file, []byte("hello\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	here, err := c.AddFixed(ctx, false, []string{file})
	if err != nil {
		t.Fatal(err)
	}
	cache := "file://" + t.TempDir()
	if got, err := c.In(ctx, cache, here); len(got) != 0 || err != nil {
		t.Errorf("of an empty cache: %v, %v", got, err)
	}
	if err := c.Copy(ctx, "", cache, false, here); err != nil {
		t.Fatal(err)
	}
	absent := "/nix/store/00000000000000000000000000000000-absent"
	if got, err := c.In(ctx, cache, append(here, absent)); err != nil || !slices.Equal(got, here) {
		t.Errorf("%v, %v; want %v", got, err, here)
	}
	if got, err := c.In(ctx, "file:///dev/null/cache", here); err == nil {
		t.Errorf("of a cache that cannot be: %v", got)
	}
}

// No command of ours is one that this machine's Nix calls old.
func TestNothingIsDeprecated(t *testing.T) {
	c := realNix(t)
	ctx := context.Background()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	path, err := c.AddPath(ctx, "named", dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		slices.Concat(newCommands, c.showConfig(), []string{"--json"}),
		slices.Concat(newCommands, []string{"store", "add-path", "--name", "named", dir}),
		slices.Concat(newCommands, []string{"hash", "path", Physical(path)}),
	} {
		_, said, err := c.runBoth(ctx, "nix", args...)
		if err != nil || strings.Contains(said, "deprecated") {
			t.Errorf("%q: %s, %v", args, said, err)
		}
	}
}

// Builders that the user configured are Nix's to use; what makes a build hermetic is not the user's to change.
func TestBuildersPass(t *testing.T) {
	c := realNix(t)
	t.Setenv("NIX_CONFIG", "builders = ssh://builder x86_64-linux\nsandbox-fallback = true")
	out, err := c.run(context.Background(), "nix", slices.Concat(newCommands, c.showConfig(), []string{"--json"})...)
	if err != nil {
		t.Fatal(err)
	}
	var conf map[string]struct{ Value any }
	if err := json.Unmarshal(out, &conf); err != nil {
		t.Fatal(err)
	}
	if got := conf["builders"].Value; got != "ssh://builder x86_64-linux" {
		t.Errorf("builders = %v", got)
	}
	if got := conf["sandbox-fallback"].Value; got != false {
		t.Errorf("sandbox-fallback = %v", got)
	}
}

func TestParseSettings(t *testing.T) {
	s, err := parseSettings([]byte(`{"sandbox":{"value":true},"builders":{"value":"@/etc/nix/machines"},"substituters":{"value":["https://cache.nixos.org/","file:///x"]},"cores":{"value":2}}`))
	if err != nil || s.Sandbox != "true" || s.Builders != "@/etc/nix/machines" ||
		!slices.Equal(Own(s.Substituters), []string{"file:///x"}) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := parseSettings([]byte(`{"sandbox":{"value":"relaxed"}}`)); err != nil || s.Sandbox != "relaxed" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := parseSettings([]byte("no json")); err == nil {
		t.Error("no error")
	}
	if s, err := realNix(t).Settings(); err != nil || s.Sandbox == "" || s.Sandbox == "<nil>" {
		t.Errorf("of this machine: %+v, %v", s, err)
	}
}
