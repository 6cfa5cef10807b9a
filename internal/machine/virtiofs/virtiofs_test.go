package virtiofs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Inside {
		fmt.Fprintln(os.Stderr, Child(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 2 && os.Args[1] == changing {
		os.Exit(change(os.Args[2]))
	}
	os.Exit(m.Run())
}

// changing is the first argument of a test program that tries to change a directory.
const changing = "change"

// change tries what a server could do to a directory with the file "old". It prints what has another result than a
// read-only file system gives, and what a reader must be able to do and cannot.
func change(dir string) (code int) {
	want := func(what string, got, want error) {
		if !errors.Is(got, want) {
			fmt.Fprintf(os.Stderr, "%s: %v, want %v\n", what, got, want)
			code = 1
		}
	}
	if err := os.Chdir(dir); err != nil {
		want("chdir", err, nil)
	}
	for _, flags := range []int{unix.O_RDWR | unix.O_CREAT, unix.O_WRONLY | unix.O_TRUNC} {
		_, err := unix.Open("old", flags, 0o600)
		want(fmt.Sprintf("open with %#x", flags), err, unix.EROFS)
	}
	_, err := unix.Open(".", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	want("O_TMPFILE", err, unix.EROFS)
	_, err = unix.Openat2(unix.AT_FDCWD, "old", &unix.OpenHow{Flags: unix.O_RDONLY})
	want("openat2", err, unix.EROFS)

	f, err := unix.Open("old", unix.O_RDWR, 0)
	want("open to lock", err, nil)
	want("flock", unix.Flock(f, unix.LOCK_EX|unix.LOCK_NB), nil)
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	want("fcntl lock", unix.FcntlFlock(uintptr(f), unix.F_OFD_SETLK, &lock), nil)
	_, err = unix.Pread(f, make([]byte, 1), 0)
	want("read", err, nil)

	_, err = unix.Pwrite(f, []byte("x"), 0)
	want("pwrite", err, unix.EROFS)
	_, err = unix.Pwritev(f, [][]byte{[]byte("x")}, 0)
	want("pwritev", err, unix.EROFS)
	for what, do := range map[string]func() error{
		"ftruncate": func() error { return unix.Ftruncate(f, 0) },
		"fallocate": func() error { return unix.Fallocate(f, 0, 0, 10) },
		"linkat":    func() error { return unix.Linkat(unix.AT_FDCWD, "old", unix.AT_FDCWD, "new", 0) },
		"symlinkat": func() error { return unix.Symlinkat("old", unix.AT_FDCWD, "new") },
		"mkdirat":   func() error { return unix.Mkdirat(unix.AT_FDCWD, "new", 0o700) },
		"mknodat":   func() error { return unix.Mknodat(unix.AT_FDCWD, "new", unix.S_IFIFO, 0) },
		"unlinkat":  func() error { return unix.Unlinkat(unix.AT_FDCWD, "old", 0) },
		"renameat":  func() error { return unix.Renameat(unix.AT_FDCWD, "old", unix.AT_FDCWD, "new") },
		"renameat2": func() error { return unix.Renameat2(unix.AT_FDCWD, "old", unix.AT_FDCWD, "new", 0) },
		"fchmod":    func() error { return unix.Fchmod(f, 0o777) },
		"fchmodat":  func() error { return unix.Fchmodat(unix.AT_FDCWD, "old", 0o777, 0) },
		"fchownat":  func() error { return unix.Fchownat(unix.AT_FDCWD, "old", 1, 1, 0) },
		"utimensat": func() error { return unix.UtimesNano("old", make([]unix.Timespec, 2)) },
		"setxattr":  func() error { return unix.Setxattr("old", "user.x", []byte("x"), 0) },
		"fsetxattr": func() error { return unix.Fsetxattr(f, "user.x", []byte("x"), 0) },
	} {
		want(what, do(), unix.EROFS)
	}
	return code
}

// serve runs a script of shell where virtiofsd would be, and returns what Failure says of its end.
func serve(t *testing.T, dir string, readOnly bool, script string) string {
	t.Helper()
	s, guest, err := Start([]string{"/bin/sh", "-euc", "cd " + dir + "\n" + script}, dir, Access{ReadOnly: readOnly})
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

// changes is what a server of a read-only directory could do to it, or could not do.
func changes(t *testing.T, dir string) string {
	t.Helper()
	s, guest, err := Start([]string{"/proc/self/exe", changing, dir}, dir, Access{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	guest.Close()
	<-s.Done()
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
		{"not to write", "touch other 2>&- || exit 5", "virtiofsd: exit status 5", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := serve(t, dir, c.readOnly, c.script); got != c.want {
				t.Errorf("Failure = %q, want %q", got, c.want)
			}
		})
	}
	before, err := os.Stat(dir + "/new")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+"/new", dir+"/old"); err != nil {
		t.Fatal(err)
	}
	if got := changes(t, dir); got != "" {
		t.Error(got)
	}
	if after, err := os.Stat(dir + "/old"); err != nil || after.ModTime() != before.ModTime() || after.Size() != 0 {
		t.Errorf("%+v has become %+v, %v", before, after, err)
	}
	if got, _ := filepath.Glob(dir + "/*"); len(got) != 1 || filepath.Base(got[0]) != "old" {
		t.Errorf("the directory has %q", got)
	}
}

// Bits that lend an owner's rights, owners and devices are for a guest that is trusted, as far as its user may.
func TestTrusted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("an ordinary user changes no owner: see TestOrdinaryUser")
	}
	const script = `touch a; chown 1234 a; stat -c %u a; chmod 4755 a || echo no; chmod 711 a; stat -c %a a; mknod b c 1 3 || echo no`
	for may, want := range map[Access]string{{}: "0 no 711 no", {Trusted: true}: "1234 711"} {
		dir := t.TempDir()
		s, guest, err := Start([]string{"/bin/sh", "-c", "cd " + dir + "\n(" + script + ") >out 2>&-"}, dir, may)
		if err != nil {
			t.Fatal(err)
		}
		guest.Close()
		<-s.Done()
		out, err := os.ReadFile(dir + "/out")
		if got := strings.Join(strings.Fields(string(out)), " "); got != want || err != nil {
			t.Errorf("%+v: %q, %v; want %q", may, got, err, want)
		}
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
	fi, err := os.Stat(dir + "/new")
	if err != nil || int(fi.Sys().(*syscall.Stat_t).Uid) != os.Getuid() {
		t.Errorf("%v, %v", fi, err)
	}
	if err := os.Rename(dir+"/new", dir+"/old"); err != nil {
		t.Fatal(err)
	}
	if got := changes(t, dir); got != "" {
		t.Error(got)
	}
}
