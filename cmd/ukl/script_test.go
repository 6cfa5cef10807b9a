package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"ukl/internal/host/nix"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// repository is the checkout that is tested.
const repository = "../.."

// scripts is where all testscript files are. Those that begin with boot_ build images and boot them; those that begin
// with kvm_ run in the KVM bench (kvm_test.go).
const scripts = repository + "/testdata"

// BootEnv switches real boots off with "off". They are on otherwise, and fail where they cannot run: a promise that was
// not tested must not look kept.
const bootEnv = "UKL_TEST_BOOT"

func TestMain(m *testing.M) {
	if code, done := lend(os.Args, os.Stderr); done { // for tests that call run
		os.Exit(int(code))
	}
	testscript.Main(m, map[string]func(){
		"ukl":       main,
		"fake-qemu": func() { os.Exit(fakeQEMU(os.Args[1:])) },
		"fake-gdb":  fakeGDBMain,
	})
}

// TestScripts runs everything that needs no image: QEMU is a fake whose kernel is a list of things to do (see
// fakeqemu_test.go).
func TestScripts(t *testing.T) {
	files := scriptFiles(t, func(name string) bool {
		return !strings.HasPrefix(name, "boot_") && !strings.HasPrefix(name, "kvm_")
	})
	t.Logf("%d scripts", len(files))
	testscript.Run(t, testscript.Params{
		Files:               files,
		Cmds:                verbs(new(atomic.Int64)),
		Condition:           condition,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			home(e, filepath.Join(e.WorkDir, ".cache"))
			e.Setenv(qemu.Env, "fake-qemu")
			return nil
		},
	})
}

// TestBoot builds the bundled applications and boots them in the pinned QEMU.
func TestBoot(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	if _, err := exec.LookPath("nix-store"); err != nil {
		t.Fatalf("boots need Nix, and there is none (%s=off leaves them out)", bootEnv)
	}
	files := scriptFiles(t, func(name string) bool { return strings.HasPrefix(name, "boot_") })
	if len(files) == 0 {
		t.Fatal("no boot scripts")
	}
	cache := t.TempDir() // shared: an image is built once
	var boots atomic.Int64
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Files:               files,
			Cmds:                verbs(&boots),
			Condition:           condition,
			RequireExplicitExec: true,
			RequireUniqueNames:  true,
			Setup: func(e *testscript.Env) error {
				home(e, cache)
				return nil
			},
		})
	})
	t.Logf("%d scripts, %d boots", len(files), boots.Load())
	chosen := strings.Contains(flag.Lookup("test.run").Value.String(), "/")
	if boots.Load() == 0 && !chosen {
		t.Error("nothing was booted")
	}
}

// scriptFiles returns the scripts that want selects, and fails on a file that no test would run.
func scriptFiles(t *testing.T, want func(name string) bool) []string {
	t.Helper()
	entries, err := os.ReadDir(scripts)
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".txtar" {
			t.Errorf("testdata/%s: only .txtar files are run", e.Name())
			continue
		}
		if want(e.Name()) {
			files = append(files, filepath.Join(scripts, e.Name()))
		}
	}
	return files
}

// home gives a script folders of its own.
func home(e *testscript.Env, cache string) {
	e.Values[serverKey{}] = &server{t: e.T()}
	if self, err := exec.LookPath("ukl"); err == nil {
		e.Setenv("UKL", self) // for scripts that take PATH away
	}
	if checkout, err := filepath.Abs(repository); err == nil {
		e.Setenv("REPOSITORY", checkout)
		e.Setenv("APPS", filepath.Join(checkout, "nixexprs/apps")) // for scripts that change one
	}
	if out, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output(); err == nil { // for scripts that build ukl
		if dirs := strings.Fields(string(out)); len(dirs) == 2 {
			e.Setenv("GOCACHE", dirs[0])
			e.Setenv("GOMODCACHE", dirs[1])
		}
	}
	e.Setenv("UNIQUE", fmt.Sprint(time.Now().UnixNano())) // makes a source that no store has seen
	e.Setenv("HOME", filepath.Join(e.WorkDir, ".home"))
	e.Setenv("XDG_CACHE_HOME", cache)
	e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state"))
	for _, name := range []string{
		"NO_COLOR", "TERM", "UKL_SEEDS", "UKL_MIRROR", "NIX_REMOTE", "NIX_CONFIG",
		"NIX_SSL_CERT_FILE",
	} {
		if v, ok := os.LookupEnv(name); ok {
			e.Setenv(name, v)
		}
	}
}

// kernelEnv switches on what compiles whole kernels outside of Nix, with "on".
const kernelEnv = "UKL_TEST_KERNEL"

// distributionsEnv switches on what begins with an empty store, with "on". Package launcher has the rest of it.
const distributionsEnv = "UKL_TEST_DISTRIBUTIONS"

// condition is true for [exists:FILE] if the file exists, for [root] if it is root who tests, for [kernel] if whole
// kernels are to be compiled, and for [distributions] if an empty store is to be filled.
func condition(c string) (bool, error) {
	switch c {
	case "root":
		return os.Getuid() == 0, nil
	case "kernel":
		return os.Getenv(kernelEnv) == "on", nil
	case "distributions":
		return os.Getenv(distributionsEnv) == "on", nil
	}
	file, ok := strings.CutPrefix(c, "exists:")
	if !ok {
		return false, fmt.Errorf("unknown condition %q", c)
	}
	_, err := os.Stat(file)
	return err == nil, nil
}

type verb = func(ts *testscript.TestScript, neg bool, args []string)

// verbs are the commands that scripts have besides testscript's own. boots counts successful starts of `ukl run`.
func verbs(boots *atomic.Int64) map[string]verb {
	return map[string]verb{
		"exits":     exits(boots),
		"signals":   signals(boots),
		"closes":    closes,
		"alone":     alone,
		"taken":     taken,
		"port":      port,
		"serving":   serving,
		"early":     early,
		"crowd":     crowd,
		"datagrams": datagrams,
		"loopback":  loopback,
		"sweep":     sweep,
		"machine":   machine(boots),
		"ext2":      ext2,
		"unmounted": unmounted,
		"files":     files,
		"serve":     serve,
		"published": published,
		"block":     block,
		"interrupt": interrupt,
		"conforms":  conforms,
		"clock":     clock,
	}
}

// exits CODE COMMAND ARGS... runs a command and demands its exit code. testscript itself cannot tell one failure from
// another.
func exits(boots *atomic.Int64) verb {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: exits CODE COMMAND ARGS...")
		}
		err := ts.Exec(args[1], args[2:]...)
		demand(ts, args[0], err)
		count(boots, args[1:], err)
	}
}

func count(boots *atomic.Int64, command []string, err error) {
	switch code(err) {
	case 64, 65, 66, 69, 71, 73:
		return // ended before QEMU
	}
	if len(command) > 1 && command[0] == "ukl" && command[1] == "run" {
		boots.Add(1)
	}
}

func demand(ts *testscript.TestScript, want string, err error) {
	n, cerr := strconv.Atoi(want)
	if cerr != nil {
		ts.Fatalf("%q is no exit code", want)
	}
	if got := code(err); got != n {
		ts.Fatalf("exit code %d, not %d (%v)", got, n, err)
	}
}

// code is the exit code in an error of running something; a signal is 128+N, as a shell has it.
func code(err error) int {
	var e *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &e):
		return -1
	}
	if s, ok := e.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return 1000 + int(s.Signal()) // not what a program that handles the signal would give
	}
	return e.ExitCode()
}

// command starts a program in the script's directory and environment, and gives its stdout.
func command(ts *testscript.TestScript, args []string) (*exec.Cmd, *bufio.Reader, *bytes.Buffer) {
	path, err := exec.LookPath(args[0])
	ts.Check(err)
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "HOME="+ts.Getenv("HOME"), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"),
		"XDG_STATE_HOME="+ts.Getenv("XDG_STATE_HOME"))
	if q := ts.Getenv(qemu.Env); q != "" {
		cmd.Env = append(cmd.Env, qemu.Env+"="+q)
	}
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.Stdin = nil
	ts.Check(cmd.Start())
	return cmd, bufio.NewReader(out), &stderr
}

// patience of verbs with a process that ought to end.
const patience = 60 * time.Second

// signals NAME[+NAME]... CODE COMMAND ARGS... waits for a line of the command on stdout before it sends each signal,
// and demands its exit code and that it ends within 5 seconds.
func signals(boots *atomic.Int64) verb {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 3 {
			ts.Fatalf("usage: signals NAME[+NAME]... CODE COMMAND ARGS...")
		}
		var list []syscall.Signal
		for name := range strings.SplitSeq(args[0], "+") {
			sig, ok := map[string]syscall.Signal{
				"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "QUIT": syscall.SIGQUIT,
				"KILL": syscall.SIGKILL,
			}[name]
			if !ok {
				ts.Fatalf("unknown signal %q", name)
			}
			list = append(list, sig)
		}
		cmd, out, stderr := command(ts, args[2:])
		stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
		defer stop.Stop()
		var start time.Time
		for _, sig := range list {
			if _, err := out.ReadString('\n'); err != nil {
				cmd.Wait()
				ts.Fatalf("no line before %s: %v\n%s", unix.SignalName(sig), err, stderr)
			}
			start = time.Now()
			ts.Check(cmd.Process.Signal(sig))
		}
		_, _ = io.Copy(io.Discard, out)
		err := cmd.Wait()
		if took := time.Since(start); took > 5*time.Second {
			ts.Fatalf("it took %s to end", took)
		}
		if sig := list[len(list)-1]; sig == syscall.SIGKILL {
			args[1] = strconv.Itoa(1000 + int(sig))
		}
		demand(ts, args[1], err)
		count(boots, args[2:], err)
	}
}

// machine ARGS... runs the pinned QEMU until it ends, on a machine that ukl knows nothing of, with its first serial
// port on stdout. @FILE is what is in the file.
func machine(boots *atomic.Int64) verb {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) == 0 {
			ts.Fatalf("usage: machine ARGS...")
		}
		lock, err := pins.Load(nixexprs.FS)
		ts.Check(err)
		p, err := qemu.Find(nix.Physical(lock.TreePath("qemu")), "")
		ts.Check(err)
		for _, kv := range p.Env {
			k, v, _ := strings.Cut(kv, "=")
			ts.Setenv(k, v)
		}
		words := append(append([]string{"300"}, p.Argv...), "-no-user-config", "-nodefaults", "-no-reboot", "-display",
			"none",
			// its boot ROM is not pinned
			"-accel", "tcg", "-m", "64", "-serial", "stdio", "-netdev", "user,id=net0",
			"-device", "virtio-net-pci,netdev=net0,romfile=")
		for _, a := range args {
			if file, ok := strings.CutPrefix(a, "@"); ok {
				a = strings.TrimSpace(ts.ReadFile(file))
			}
			words = append(words, a)
		}
		ts.Check(ts.Exec("timeout", words...))
		boots.Add(1)
	}
}

// closes CODE COMMAND ARGS... reads one line of the command's stdout, closes it, and demands the exit code.
func closes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: closes CODE COMMAND ARGS...")
	}
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	r, w, err := os.Pipe()
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"),
		"XDG_STATE_HOME="+ts.Getenv("XDG_STATE_HOME"))
	if q := ts.Getenv(qemu.Env); q != "" {
		cmd.Env = append(cmd.Env, qemu.Env+"="+q)
	}
	cmd.Stdout = w
	ts.Check(cmd.Start())
	w.Close()
	stop := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer stop.Stop()
	_, rerr := bufio.NewReaderSize(r, 16).ReadString('\n')
	r.Close()
	err = cmd.Wait()
	if rerr != nil {
		ts.Fatalf("no first line: %v", rerr)
	}
	demand(ts, args[0], err)
}

// rootOf is the path, inside its file system, of the directory that a process (/proc/N) has as its root; "" if that is
// no mount, or nobody may know.
func rootOf(process string) string {
	mounts, err := os.ReadFile(filepath.Join(process, "mountinfo"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 4 && f[4] == "/" {
			return f[3]
		}
	}
	return ""
}

// alone demands that no process is left whose directory is the script's, or who has one of the script's as its root, as
// the server of a volume has.
func alone(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: alone")
	}
	work := ts.MkAbs(".")
	// In its file system, which may be mounted anywhere, the path ends as here.
	below := "/" + filepath.Base(filepath.Dir(work)) + "/" + filepath.Base(work) + "/"
	deadline := time.Now().Add(3 * time.Second) // the kernel ends the orphans of a killed process soon, not at once
	for {
		left := ""
		links, _ := filepath.Glob("/proc/[0-9]*/cwd")
		for _, l := range links {
			dir, err := os.Readlink(l)
			process := filepath.Dir(l)
			if err == nil && strings.HasPrefix(dir+"/", work+"/") || strings.Contains(rootOf(process)+"/", below) {
				cmdline, _ := os.ReadFile(filepath.Join(process, "cmdline"))
				left = fmt.Sprintf("%s: %s", process, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("a process is left: %s", left)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
