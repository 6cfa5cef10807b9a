package virtiofs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ukl/internal/machine/confine"
	"ukl/internal/machine/seccomp"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Inside {
		fmt.Fprintln(os.Stderr, Child(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == confine.Inside {
		fmt.Fprintln(os.Stderr, confine.Child(os.Args[2:]))
		os.Exit(1)
	}
	if len(os.Args) > 1 && os.Args[1] == changing {
		os.Exit(change(volume))
	}
	if len(os.Args) > 1 && os.Args[1] == climbing {
		os.Exit(climb())
	}
	os.Exit(m.Run())
}

// First arguments of a test program in the place of virtiofsd: one tries to change its directory, one to leave it.
const (
	changing = "change"
	climbing = "climb"
)

// machine are the directories that programs of the host need.
var machine = []string{"/bin", "/usr", "/lib", "/lib64", "/nix/store"}

// itself is the command that runs this program as a server.
func itself(t *testing.T, task string) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{self, task}, machine...)
}

// shell is the command that runs a script in the volume as a server.
func shell(script string) []string {
	return append([]string{"/bin/sh", "-euc", "cd " + volume + "\n" + script, "sh"}, machine...)
}

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

// end runs a program where virtiofsd would be, and returns what Failure says of its end.
func end(t *testing.T, argv []string, dir string, may Access) string {
	t.Helper()
	s, guest, err := Start(argv, dir, may)
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
	if err := s.Failure(); err != nil {
		return err.Error()
	}
	return ""
}

// serve runs a script of shell.
func serve(t *testing.T, dir string, readOnly bool, script string) string {
	t.Helper()
	return end(t, shell(script), dir, Access{ReadOnly: readOnly})
}

// changes is what a server of a read-only directory could do to it, or could not do.
func changes(t *testing.T, dir string) string {
	t.Helper()
	return end(t, itself(t, changing), dir, Access{ReadOnly: true})
}

// climb does what a guest may ask of virtiofsd while somebody moves directories: it goes up from one that it has found,
// again and again. It prints what it gets to see that is not below the volume.
func climb() (code int) {
	say := func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
		code = 1
	}
	if err := unix.Chroot(volume); err != nil { // as virtiofsd does
		say("chroot: %v", err)
	}
	dir, err := unix.Open("/x/y", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		say("/x/y: %v", err)
	}
	up, err := unix.Openat(dir, "../../x", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		say("up in the volume: %v", err)
	}
	unix.Close(up)
	if err := os.WriteFile("/ready", nil, 0o600); err != nil {
		say("%v", err)
	}
	for { // until it is moved
		if _, err := os.Stat("/moved"); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for range 20 {
		if dir, err = unix.Openat(dir, "..", unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
			break
		}
		if unix.Faccessat(dir, "secret", unix.F_OK, 0) == nil {
			say("the secret")
		}
	}
	if err != unix.ENOENT {
		say("up from a moved directory: %v, want %v", err, unix.ENOENT)
	}
	return code
}

// A directory that is moved out of the volume leads nowhere.
func TestMoved(t *testing.T) {
	ordinary(t)
	top := t.TempDir()
	for _, d := range []string{"volume/x/y", "secret"} {
		if err := os.MkdirAll(filepath.Join(top, d), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(top, "volume")
	moved := make(chan error, 1)
	go func() {
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if _, err := os.Stat(dir + "/ready"); err == nil {
				moved <- errors.Join(os.Rename(dir+"/x", top+"/x"), os.WriteFile(dir+"/moved", nil, 0o600))
				return
			}
		}
		moved <- errors.New("the server is not ready")
	}()
	if got := end(t, itself(t, climbing), dir, Access{}); got != "" {
		t.Error(got)
	}
	if err := <-moved; err != nil {
		t.Error(err)
	}
}

// A server sees its directory, its program, which it cannot change, and nothing else.
func TestRoot(t *testing.T) {
	ordinary(t)
	dir := t.TempDir()
	const script = `(cd / && echo * proc/* .v*) >names
		test / -ef /..
		for d in / /bin /proc; do
			(echo x >$d/x) 2>error && exit 4
			grep -q Read-only error
		done
		while read a b c d at rest; do test $at = / || echo "$at"; done </proc/self/mountinfo >mounts`
	if got := serve(t, dir, false, script); got != "" {
		t.Error(got)
	}
	names, err := os.ReadFile(dir + "/names")
	if err != nil {
		t.Error(err)
	}
	for _, name := range strings.Fields(string(names)) {
		// /lib64 and its like are not everywhere.
		if !slices.Contains([]string{"bin", "lib", "lib64", "nix", "proc", "usr", "proc/self", "proc/sys", ".volume"}, name) {
			t.Errorf("the server sees %s", name)
		}
	}
	mounts, err := os.ReadFile(dir + "/mounts")
	for _, at := range strings.Fields(string(mounts)) {
		if at != volume && at != "/proc/self" && at != fileMax && !slices.ContainsFunc(machine, func(d string) bool {
			return strings.HasPrefix(at+"/", d+"/")
		}) {
			t.Errorf("%s is mounted", at)
		}
	}
	if err != nil || len(mounts) == 0 {
		t.Error(err)
	}
}

// mounted is an environment variable with a directory below which something is mounted.
const mounted = "UKL_TEST_MOUNTED"

// What is mounted below a directory is lent with it, by root and by an ordinary user, who may not take it away.
func TestMounts(t *testing.T) {
	if dir := os.Getenv(mounted); dir != "" {
		if os.Getuid() == 0 {
			if err := errors.Join(
				unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""),
				unix.Mount("", dir+"/m", "tmpfs", 0, "size=4k"),
				os.WriteFile(dir+"/m/file", nil, 0o644),
			); err != nil {
				t.Fatal(err)
			}
			ordinary(t)
		}
		if got := serve(t, dir, false, "test -e m/file"); got != "" {
			t.Error(got)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("an ordinary user mounts nothing")
	}
	dir, err := os.MkdirTemp("/tmp", "ukl-virtiofs-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/m", 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestMounts$", "-test.v")
	cmd.Env = append(os.Environ(), mounted+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestMounts") {
		t.Errorf("%v\n%s", err, out)
	}
}

// Where root has no rights over mounts, or something forbids what a server needs, there is no server with less.
func TestRefused(t *testing.T) {
	const refusing = "UKL_TEST_REFUSING"
	if os.Getenv(refusing) != "" {
		s, guest, err := Start(shell("exit 0"), t.TempDir(), Access{})
		if err == nil {
			guest.Close()
			<-s.Done()
			err = s.Failure()
		}
		if !errors.Is(err, ErrNamespaces) {
			t.Error(err)
		}
		return
	}
	for name, plan := range map[string]confine.Plan{
		"no CAP_SYS_ADMIN": {Drop: []int{unix.CAP_SYS_ADMIN}},
		"no mounts":        {Rules: []seccomp.Rule{{Call: unix.SYS_MOUNT, Answer: unix.EACCES}}},
		"a chroot":         {Rules: []seccomp.Rule{{Call: unix.SYS_PIVOT_ROOT, Answer: unix.EINVAL}}},
	} {
		if os.Getuid() != 0 && len(plan.Drop) > 0 {
			continue // its namespace gives it
		}
		cmd, err := confine.Command(plan, []string{"/proc/self/exe", "-test.run=^TestRefused$", "-test.v"})
		if err != nil {
			t.Fatal(err)
		}
		cmd.Env = append(os.Environ(), refusing+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestRefused") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
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
		end(t, shell("set +e; ("+script+") >out 2>&-"), dir, may)
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

// ordinary runs the test as an ordinary user with several groups, if root runs it, and tells whether it has.
func ordinary(t *testing.T) bool {
	t.Helper()
	const user = 65534
	if os.Getuid() != 0 {
		return false
	}
	// Others may not come to where this program is.
	dir, err := os.MkdirTemp("/tmp", "ukl-virtiofs-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(dir+"/test", program, 0o755)
	}
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(dir+"/test", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "TMPDIR=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{user, 100}},
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("as an ordinary user: %v\n%s", err, out)
	}
	return true
}

// For an ordinary user files belong to that user whatever the guest asks for, and :ro holds.
func TestOrdinaryUser(t *testing.T) {
	if ordinary(t) {
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
