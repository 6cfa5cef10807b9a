package confine

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
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
