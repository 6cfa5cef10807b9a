package confine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/seccomp"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Inside {
		fmt.Fprintln(os.Stderr, Child(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// output runs a script of shell with less than this process may do.
func output(t *testing.T, p Plan, argv ...string) string {
	t.Helper()
	cmd, err := Command(p, argv)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	return string(out)
}

func TestRules(t *testing.T) {
	dir := t.TempDir()
	script := "mkdir " + dir + "/x 2>&1; grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status"
	got := output(t, Plan{Rules: []seccomp.Rule{
		{Call: unix.SYS_MKDIR, Answer: unix.EXDEV}, {Call: unix.SYS_MKDIRAT, Answer: unix.EXDEV},
	}}, "/bin/sh", "-c", script)
	for _, want := range []string{"cross-device", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if got := output(t, Plan{}, "/bin/sh", "-c", "mkdir "+dir+"/x"); got != "" {
		t.Errorf("without rules: %q", got)
	}
}

func TestNothing(t *testing.T) {
	_, err := Command(Plan{}, []string{"/nothere"})
	if !errors.Is(err, exec.ErrNotFound) && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Command = %v", err)
	}
	if err := Child(nil); err == nil {
		t.Error("Child takes no arguments")
	}
}

// line is a pair of connected sockets.
func line(t *testing.T) (*net.UnixConn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fds[0]), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn), os.NewFile(uintptr(fds[1]), "")
}

// Where somebody asks already, the kernel refuses a second one: the program then gets other arguments.
func TestListener(t *testing.T) {
	ask := []seccomp.Rule{{Call: unix.SYS_SETSID, Ask: true}}
	plan := Plan{Rules: ask, Line: 3, Otherwise: map[string]string{"open": "closed"}}
	ours, theirs := line(t)
	cmd, err := Command(plan, []string{"/bin/sh", "-c", "echo $0", "door=open,x"})
	if err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{theirs}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	theirs.Close()
	if f, terr := Told(ours); err != nil || terr != nil || out.String() != "door=open,x\n" {
		t.Errorf("%v, %v, %q", err, terr, out.String())
	} else {
		f.Close()
	}

	first, firsts := line(t)
	second, seconds := line(t)
	inner := plan
	inner.Line = 4
	nested, err := Command(inner, []string{"/bin/sh", "-c", "echo $0", "door=open,x"})
	if err != nil {
		t.Fatal(err)
	}
	if cmd, err = Command(plan, append([]string{"/proc/self/exe"}, nested.Args[1:]...)); err != nil {
		t.Fatal(err)
	}
	cmd.ExtraFiles = []*os.File{firsts, seconds}
	b, err := cmd.CombinedOutput()
	firsts.Close()
	seconds.Close()
	if _, terr := Told(first); err != nil || terr != nil {
		t.Errorf("%v, %v: %s", err, terr, b)
	}
	if _, err := Told(second); !errors.Is(err, ErrNoListener) || string(b) != "door=closed,x\n" {
		t.Errorf("Told = %v; %q", err, b)
	}
	if _, err := Told(second); err == nil || errors.Is(err, ErrNoListener) {
		t.Errorf("of an ended child Told = %v, want %v", err, io.EOF)
	}
}

// A program has the paths that it may have, and no others, and no capability.
func TestPaths(t *testing.T) {
	if Landlock() == 0 {
		t.Skip("this kernel has no Landlock")
	}
	dir := t.TempDir()
	for _, d := range []string{"may", "see", "not"} {
		if err := os.Mkdir(dir+"/"+d, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+d+"/f", []byte(d+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	plan := Plan{Drop: AllBut(), Paths: []Path{
		{Name: "/usr", Execute: true},
		{Name: "/lib", Execute: true},
		{Name: "/lib64", Execute: true},
		{Name: "/bin", Execute: true},
		{Name: "/proc/self"},
		{Name: "/nothere"},
		{Name: dir + "/may", Write: true},
		{Name: dir + "/see"},
	}}
	script := "cd " + dir + "; cat may/f see/f; cat not/f || echo hidden; echo x >may/g; (echo x >see/g) || echo kept; " +
		"while read a b; do case $a in CapEff:|CapBnd:) echo $a $b;; esac; done </proc/self/status"
	got := output(t, plan, "/bin/sh", "-c", "exec 2>&1; "+script)
	for _, want := range []string{"may\nsee\n", "hidden\n", "kept\n", "CapEff: 0000000000000000\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
	if _, err := os.Stat(dir + "/may/g"); err != nil {
		t.Error(err)
	}
	plan.Paths, plan.Drop = nil, nil
	got = output(t, plan, "/bin/sh", "-c", "exec 2>&1; "+script)
	if strings.Contains(got, "hidden") || strings.Contains(got, "kept") {
		t.Errorf("without limits: %q", got)
	}
}

// Root's program becomes a user that nobody is, with what capabilities it keeps; an ordinary user's stays that user.
func TestUser(t *testing.T) {
	u := Own()
	if os.Geteuid() != 0 {
		if u.ID != 0 {
			t.Errorf("an ordinary user becomes %d", u.ID)
		}
		return
	}
	if u.ID == 0 {
		t.Skip("this root may not become another user")
	}
	u.Groups = []int{4}
	plan := Plan{User: u, Drop: AllBut(unix.CAP_NET_BIND_SERVICE)}
	got := output(t, plan, "/bin/sh", "-c", "id -u; id -g; id -G; grep CapEff /proc/self/status")
	if want := fmt.Sprintf("%d\n%[1]d\n%[1]d 4\nCapEff:\t0000000000000400\n", u.ID); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMapped(t *testing.T) {
	file := t.TempDir() + "/map"
	if err := os.WriteFile(file, []byte("         0       1000          1\n         1     100000      65536\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[int]bool{0: true, 1: true, 65536: true, 65537: false, firstUser: false} {
		if got := mapped(file, id); got != want {
			t.Errorf("mapped(%d) = %v", id, got)
		}
	}
}

func TestLacks(t *testing.T) {
	for _, c := range []struct {
		actions, scope    string
		landlock          int
		root, own, mounts bool
		want              int
	}{
		{"kill errno user_notif allow", "1", 3, false, false, false, 0},
		{"kill errno user_notif allow", "", 3, true, true, true, 0},
		{"kill errno user_notif allow", "2", 3, true, true, true, 0},
		{"kill errno user_notif allow", "2", 3, false, false, false, 1},
		{"kill errno allow", "1", 3, false, false, false, 1},
		{"kill errno user_notif allow", "1", 0, true, false, true, 2},
		{"kill errno user_notif allow", "1", 3, true, true, false, 1},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"seccomp/actions_avail": c.actions, "yama/ptrace_scope": c.scope} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got := lacks(dir, c.landlock, c.root, c.own, c.mounts); len(got) != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
