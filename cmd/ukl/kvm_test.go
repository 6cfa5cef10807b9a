package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rogpeppe/go-internal/txtar"

	"ukl/internal/build/image"
	"ukl/internal/host/nix"
	"ukl/internal/host/socketpair"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// The KVM bench: QEMU's TCG emulates a processor with AMD's SVM, so a small host with Debian's kernel has a real KVM
// there, on any machine. In it this same test program runs ukl, by the scripts whose names begin with kvm_.
const (
	// kvmEnv with the value kvmShort runs the bench; with kvmWhole, also the scripts that begin with kvm_whole_.
	kvmEnv   = "UKL_TEST_KVM"
	kvmShort = "short"
	kvmWhole = "whole"
	// benchEnv is set in the host: the directory with what TestKVM built, at the same place as outside.
	benchEnv = "UKL_TEST_KVM_BENCH"
	// benchQEMU is where the host has the pinned QEMU.
	benchQEMU = "/qemu"
	// kvmSilence is how long the host may say nothing. It is the only limit of time: where other work left the host 5 % of
	// a processor, a script took 12 minutes.
	kvmSilence = 15 * time.Minute
)

// TestKVM runs ukl under a real KVM.
func TestKVM(t *testing.T) {
	if bench := os.Getenv(benchEnv); bench != "" {
		underKVM(t, bench)
		return
	}
	set := os.Getenv(kvmEnv)
	switch set {
	case "":
		t.Skipf("it takes minutes: %s=%s runs it", kvmEnv, kvmShort)
	case kvmShort, kvmWhole:
	default:
		t.Fatalf("%s=%s: want %s or %s", kvmEnv, set, kvmShort, kvmWhole)
	}
	files := scriptFiles(t, func(name string) bool {
		return strings.HasPrefix(name, "kvm_") && (set == kvmWhole || !strings.HasPrefix(name, "kvm_whole_"))
	})
	t.Run("scripts", func(t *testing.T) {
		b := &kvmBench{dir: t.TempDir()}
		for _, f := range files {
			if name := strings.TrimSuffix(filepath.Base(f), ".txtar"); named(name) {
				b.scripts = append(b.scripts, name)
			}
		}
		if len(b.scripts) == 0 {
			t.Fatalf("no script has such a name, or %s=%s is needed", kvmEnv, kvmWhole)
		}
		start := time.Now()
		b.build(t)
		t.Logf("the host is built after %.0f s", time.Since(start).Seconds())
		b.run(t)
	})
}

// named tells whether -run, as TestKVM/scripts/NAME, asks for a script.
func named(name string) bool {
	parts := strings.SplitN(flag.Lookup("test.run").Value.String(), "/", 3)
	if len(parts) < 3 {
		return true
	}
	re, err := regexp.Compile(parts[2])
	return err == nil && re.MatchString(name)
}

// underKVM is TestKVM in the host: it runs the scripts that are there.
func underKVM(t *testing.T, bench string) {
	var boots atomic.Int64
	t.Run("scripts", func(t *testing.T) {
		testscript.Run(t, testscript.Params{
			Files:               scriptFiles(t, func(string) bool { return true }),
			Cmds:                verbs(&boots),
			Condition:           condition,
			RequireExplicitExec: true,
			RequireUniqueNames:  true,
			Setup: func(e *testscript.Env) error {
				home(e, filepath.Join(bench, "cache"))
				e.Setenv("OWN", filepath.Join(bench, "own"))
				e.Setenv(qemu.Env, benchQEMU)
				return nil
			},
		})
	})
}

// kvmBench is the host and what it is to run.
type kvmBench struct {
	dir     string   // what was built for it; it sees the same directory
	scripts []string // names
	host    string   // the output of nixexprs/kvmhost
	program qemu.Program
	locale  string // the directory that each guest gets
}

// build makes all that a boot needs. The host builds nothing: it has ukl's memory of images, and the images.
func (b *kvmBench) build(t *testing.T) {
	t.Helper()
	b.ownApps(t)
	for _, app := range []string{
		"hello", "ring0", "multithreaded", "conformance",
		filepath.Join(b.dir, "own/bypass"), filepath.Join(b.dir, "own/crash"), filepath.Join(b.dir, "own/hypervisor"),
		filepath.Join(b.dir, "own/clock"),
	} {
		b.command(t, "ukl", "run", "-q", "--dry-run", "--accel", "tcg", "-p", "0:5555", app)
	}
	b.command(t, "go", "test", "-c", "-ldflags=-s -w", "-o", filepath.Join(b.dir, "inside"), ".")
	b.host = buildKVMHost(t, filepath.Join(b.dir, "host"))
	lock, err := pins.Load(nixexprs.FS)
	if err == nil {
		b.program, err = qemu.Find(nix.Physical(lock.TreePath("qemu")), "")
		b.locale = nix.Physical(lock.TreePath("tools")) + image.Locale
	}
	if err != nil {
		t.Fatal(err)
	}
}

// ownApps writes applications that do not come along: conformance by the bypass, and those of scripts.
func (b *kvmBench) ownApps(t *testing.T) {
	t.Helper()
	own := filepath.Join(b.dir, "own")
	bypass := filepath.Join(own, "bypass")
	err := os.CopyFS(bypass, os.DirFS(filepath.Join(repository, "nixexprs/apps/conformance")))
	if err == nil {
		err = appendFile(filepath.Join(bypass, "ukl.toml"), "\n[unikernel]\ncalls = \"bypass\"\n")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []struct{ script, dir, name string }{
		{"boot_crash", "own", "crash"},
		{"kvm_hello", "hypervisor", "hypervisor"},
		{"boot_clock", "clock", "clock"},
	} {
		if err := unpack(from.script, from.dir, filepath.Join(own, from.name)); err != nil {
			t.Fatal(err)
		}
	}
}

// unpack writes the files of one directory of a script.
func unpack(script, dir, to string) error {
	a, err := txtar.ParseFile(filepath.Join(scripts, script+".txtar"))
	if err != nil {
		return err
	}
	n := 0
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, dir+"/"); ok {
			n++
			file := filepath.Join(to, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, f.Data, 0o644)); err != nil {
				return err
			}
		}
	}
	if n == 0 {
		return fmt.Errorf("%s has no directory %s", script, dir)
	}
	return nil
}

func appendFile(name, text string) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// command runs a program with the bench's own cache. It must succeed.
func (b *kvmBench) command(t *testing.T, words ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", qemu.Env+"=")
	if words[0] == "ukl" {
		cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(b.dir, "cache"))
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
}

// buildKVMHost has Nix build nixexprs/kvmhost, with a root, and returns the output.
func buildKVMHost(t *testing.T, root string) string {
	t.Helper()
	n, err := nix.Find()
	if err != nil {
		t.Fatal(err)
	}
	expr, err := filepath.Abs(filepath.Join(repository, "nixexprs/kvmhost"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	drv, err := n.Instantiate(ctx, nix.Request{Expr: expr, Attr: "host", Root: root})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := n.Plan(ctx, drv)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pins.LoadOwn(os.DirFS(expr), expr, pins.Wants{Packages: []string{"busybox-static"}})
	if err != nil {
		t.Fatal(err)
	}
	o := pins.Options{
		Seeds: os.Getenv(pins.SeedsEnv), Mirror: os.Getenv(pins.MirrorEnv), Snapshot: os.Getenv(pins.SnapshotEnv),
	}
	if err := pins.Fetch(ctx, n, append(lock.InPlan(plan), own.InPlan(plan)...), o, nil); err != nil {
		t.Fatal(err)
	}
	out, err := n.Realise(ctx, drv, root, nil)
	if failed := (*nix.BuildError)(nil); errors.As(err, &failed) {
		t.Fatalf("%v\n%s", err, strings.Join(failed.Lines, "\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return nix.Physical(out)
}

// run boots the host and reports each script as a test of its own.
func (b *kvmBench) run(t *testing.T) {
	left := slices.Clone(b.scripts)
	start := time.Now()
	console, err := b.boot(t, left, func(r outcome) {
		left = slices.DeleteFunc(left, func(name string) bool { return name == r.name })
		t.Run(r.name, func(t *testing.T) { r.report(t) })
	})
	t.Logf("the host ran for %.0f s", time.Since(start).Seconds())
	if len(left) > 0 {
		t.Logf("the host ended before %s: %v\n%s", strings.Join(left, ", "), err, console)
	}
	for _, name := range left {
		t.Run(name, func(t *testing.T) { t.Error("it did not run: the host ended") })
	}
}

// boot starts the host with some scripts and tells their outcomes. It returns the messages of the host's kernel.
func (b *kvmBench) boot(t *testing.T, scripts []string, tell func(outcome)) (string, error) {
	t.Helper()
	initrd, log := filepath.Join(b.dir, "initrd"), filepath.Join(b.dir, "console")
	if err := b.pack(initrd, scripts); err != nil {
		t.Fatal(err)
	}
	ours, theirs, err := socketpair.Open("bench")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	monitor, its, err := socketpair.Open("monitor")
	if err != nil {
		t.Fatal(err)
	}
	defer monitor.Close()
	p, err := b.program.Start(kvmHostArgs(b.host, initrd, log), []*os.File{theirs, its}, qemu.Limits{})
	theirs.Close()
	its.Close()
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, monitor)
	go stir(monitor)
	silent := time.AfterFunc(kvmSilence, p.Kill)
	console := func() string {
		text, _ := os.ReadFile(log) // one that is not there says nothing
		return strings.ReplaceAll(string(text), "\r", "")
	}
	stop := context.AfterFunc(t.Context(), p.Kill)
	readOutcomes(ours, func(string) { silent.Reset(kvmSilence) }, func(o outcome) {
		o.console = console()
		tell(o)
	})
	stop()
	<-p.Done()
	if !silent.Stop() {
		return console(), fmt.Errorf("it said nothing for %s", kvmSilence)
	}
	if said := p.Failure(); said != "" {
		return console(), errors.New(said)
	}
	return console(), nil
}

// stir presses a key of the host now and then, until it is gone: each is an interrupt. QEMU 7.2 loses that of a timer
// now and then when it emulates SVM, see docs/kernel-tests.md, and a host that waits for one would wait for ever.
func stir(monitor io.Writer) {
	for range time.Tick(100 * time.Millisecond) {
		if _, err := io.WriteString(monitor, "sendkey shift 1\n"); err != nil {
			return
		}
	}
}

// kvmHostArgs is the host as QEMU's arguments. It has one processor, since QEMU's emulation of SVM loses its way when
// threads ask a processor to pause, see docs/kernel-tests.md. QEMU 7.2 cannot give the guest of its guest XSAVE. The
// clock is the time stamp counter, as on hardware; measuring it again under load would find it unstable.
func kvmHostArgs(host, initrd, log string) []string {
	return []string{
		"-no-user-config", "-nodefaults", "-no-reboot", "-display", "none",
		"-machine", "pc", "-accel", "tcg,thread=single", "-cpu", "EPYC,+svm,+npt,+vgif,-xsave", "-smp", "1", "-m", "2G",
		"-kernel", filepath.Join(host, "vmlinuz"), "-initrd", initrd,
		"-append", "console=ttyS0 panic=-1 mitigations=off nokaslr tsc=reliable clocksource=tsc",
		"-serial", "file:" + log, "-chardev", "socket,id=bench,fd=3", "-serial", "chardev:bench",
		"-chardev", "socket,id=monitor,fd=4", "-mon", "chardev=monitor",
	}
}

// pack writes the host's root file system: what Nix built, and the bench behind it.
func (b *kvmBench) pack(to string, scripts []string) error {
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer f.Close()
	base, err := os.Open(filepath.Join(b.host, "host.cpio"))
	if err != nil {
		return err
	}
	defer base.Close()
	if _, err := io.Copy(f, base); err != nil {
		return err
	}
	w := &cpio{w: bufio.NewWriter(f), have: map[string]bool{}}
	for _, name := range scripts {
		file := name + ".txtar"
		w.copy("bench/testdata/"+file, filepath.Join(repository, "testdata", file))
	}
	w.copy("bench/cmd/ukl/inside", filepath.Join(b.dir, "inside"))
	w.data("bench/run", 0o644, []byte(b.commands()))
	w.tree(filepath.Join(b.dir, "own"))
	w.tree(b.locale)
	b.images(w)
	w.end()
	return errors.Join(w.err, f.Close())
}

// commands are what the host runs.
func (b *kvmBench) commands() string {
	return fmt.Sprintf("cd /bench/cmd/ukl\nexport %s=%s\n", benchEnv, b.dir) +
		"exec ./inside -test.v=test2json -test.parallel 1 -test.timeout 0 -test.run '^TestKVM$'\n"
}

// images packs what ukl remembers of its images, and of each the files that a run needs.
func (b *kvmBench) images(w *cpio) {
	memos, err := filepath.Glob(filepath.Join(b.dir, "cache/ukl/images/*/*.json"))
	if err == nil && len(memos) == 0 {
		err = errors.New("no image was built")
	}
	for _, memo := range memos {
		var m struct{ Path string }
		text, rerr := os.ReadFile(memo)
		err = errors.Join(err, rerr, json.Unmarshal(text, &m))
		w.copy(memo, memo)
		for _, name := range []string{"vmlinux", "app", "System.map", "config"} {
			if from := filepath.Join(nix.Physical(m.Path), name); isFile(from) {
				w.copy(path.Join(m.Path, name), from)
			}
		}
	}
	w.fail(err)
}
