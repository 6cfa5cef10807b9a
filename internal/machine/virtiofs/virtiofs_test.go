package virtiofs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Inside {
		fmt.Fprintln(os.Stderr, Child(os.Args[2:]))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serve runs a script of shell where virtiofsd would be, and returns what Failure says of its end.
func serve(t *testing.T, dir string, readOnly bool, script string) string {
	t.Helper()
	s, guest, err := Start([]string{"/bin/sh", "-euc", "cd " + dir + "\n" + script}, dir, readOnly)
	if err != nil {
		t.Fatal(err)
	}
	guest.Close()
	select {
	case <-s.Done():
	case <-time.After(time.Minute):
		t.Fatal("no end")
	}
	s.Close()
	return s.Failure()
}

func TestServer(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, script, want string
		readOnly           bool
	}{
		{"its words", "echo broken >&2; exit 3", "virtiofsd: broken", false},
		{"its code", "exit 3", "virtiofsd: exit status 3", false},
		{"no failure", "echo noise", "", false},
		{"a socket", "test -S /proc/self/fd/3", "", false},
		{"files", "test $(ulimit -Sn) = $(ulimit -Hn)", "", false},
		{"to write", "touch new", "", false},
		{"not to write", "touch other 2>/dev/null || exit 5", "virtiofsd: exit status 5", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := serve(t, dir, c.readOnly, c.script); got != c.want {
				t.Errorf("Failure = %q, want %q", got, c.want)
			}
		})
	}
	if got, _ := filepath.Glob(dir + "/*"); len(got) != 1 || filepath.Base(got[0]) != "new" {
		t.Errorf("the directory has %q", got)
	}
}

// The folder for temporary files may have a path that is too long for a socket's name.
func TestLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", dir)
	if got := serve(t, t.TempDir(), false, "test -S /proc/self/fd/3"); got != "" {
		t.Error(got)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// For an ordinary user with several groups, files belong to that user whatever the guest asks for, and :ro holds.
func TestOrdinaryUser(t *testing.T) {
	const user = 65534
	if os.Getuid() == 0 {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestOrdinaryUser$", "-test.v")
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "TMPDIR=/tmp")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{user, 100}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestOrdinaryUser") {
			t.Errorf("as an ordinary user: %v\n%s", err, out)
		}
		return
	}
	dir := t.TempDir()
	script := "test $(id -u) = 0; touch new; chown 1000:1000 new; test $(stat -c %u new) = 0"
	if got := serve(t, dir, false, script); got != "" {
		t.Error(got)
	}
	if got := serve(t, dir, true, "touch other 2>/dev/null || exit 5"); got != "virtiofsd: exit status 5" {
		t.Errorf("read-only: %q", got)
	}
	fi, err := os.Stat(dir + "/new")
	if err != nil || int(fi.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		t.Errorf("%v, %v", fi, err)
	}
}
