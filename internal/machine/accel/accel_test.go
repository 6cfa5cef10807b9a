package accel

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ukl/internal/machine/qemu"
)

// host is a machine of files.
func host(t *testing.T, device bool, flags, boot string) Host {
	t.Helper()
	dir := t.TempDir()
	h := Host{Device: dir + "/kvm", CPUInfo: dir + "/cpuinfo", BootID: dir + "/boot_id", CacheDir: dir + "/cache"}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if device {
		write(h.Device, "")
	}
	write(h.CPUInfo, "processor\t: 0\nvmx flags\t: svm\nflags\t\t: fpu "+flags+" tsc\n")
	write(h.BootID, boot+"\n")
	return h
}

func TestQuick(t *testing.T) {
	for _, c := range []struct {
		device  bool
		flags   string
		decided bool
		reason  string
	}{
		{false, "svm", true, "there is no"},
		{true, "", true, "neither vmx nor svm"},
		{true, "svme vmxoff", true, "neither vmx nor svm"},
		{true, "svm", false, ""},
		{true, "vmx", false, ""},
	} {
		v, decided := host(t, c.device, c.flags, "1").Quick()
		if decided != c.decided || v.KVM || !strings.Contains(v.Reason, c.reason) {
			t.Errorf("device %v, flags %q: %+v, decided %v", c.device, c.flags, v, decided)
		}
	}
}

// script is a QEMU that is a shell script and counts its starts in a file.
func script(t *testing.T, text string) (qemu.Program, func() int) {
	t.Helper()
	count := filepath.Join(t.TempDir(), "count")
	p := qemu.Program{Argv: []string{"/bin/sh", "-c", "echo >>" + count + "\n" + text, "sh"}}
	return p, func() int {
		b, _ := os.ReadFile(count)
		return len(b)
	}
}

func TestDecide(t *testing.T) {
	ctx := context.Background()
	const kvm = `if case "$*" in *accel=kvm*|*-accel*kvm*) true;; *) false; esac; then `
	for _, c := range []struct {
		name, qemu string
		want       Verdict
		reason     string
		starts     int
	}{
		{"works", "exit 11", Verdict{KVM: true, CPU: "host"}, "", 1},
		{
			"aborts with one feature", `case "$*" in *arch-cap*) exit 11; esac; echo 'failed to set MSR 0x10a' >&2; exit 1`,
			Verdict{KVM: true, CPU: "host,-arch-capabilities"},
			"", 2,
		},
		{
			"aborts", "echo 'qemu: failed to set MSR 0x10a' >&2; kill -ABRT $$",
			Verdict{},
			"KVM cannot run the probe: qemu: failed to set MSR 0x10a", 2,
		},
		{"refuses", "echo 'qemu: no' >&2; echo more >&2; exit 1", Verdict{}, "KVM cannot run the probe: qemu: no", 2},
		{"triple fault", "exit 0", Verdict{}, "QEMU ended with status 0", 2},
		{"interprets", kvm + "sleep 2.2; fi; exit 11", Verdict{CPU: "host"}, "as if it interpreted it", 2},
		{"interprets and does not end", kvm + "exec sleep 60; fi; exit 11", Verdict{CPU: "host"}, "no end after 3s", 2},
		{"on a busy machine", "sleep 2.2; exit 11", Verdict{KVM: true, CPU: "host"}, "", 2},
		{"on a very busy machine", "sleep 3.2; exit 11", Verdict{KVM: true, CPU: "host"}, "", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h := host(t, true, "svm", "1")
			p, starts := script(t, c.qemu)
			v := h.Decide(ctx, p)
			if v.KVM != c.want.KVM || v.Slow != (v.CPU != "" && !v.KVM) ||
				v.CPU != c.want.CPU || !strings.Contains(v.Reason, c.reason) || (v.Reason == "") != v.KVM {
				t.Errorf("verdict %+v", v)
			}
			if n := starts(); n != c.starts {
				t.Errorf("%d probes; want %d", n, c.starts)
			}
			if again := h.Decide(ctx, p); again != v || starts() != c.starts {
				t.Errorf("it was not remembered: %+v, %d probes", again, starts())
			}
		})
	}
}

// If not even TCG ends, the next run tries again.
func TestTooBusy(t *testing.T) {
	defer func(d time.Duration) { tcgTime = d }(tcgTime)
	tcgTime = 100 * time.Millisecond
	h := host(t, true, "svm", "1")
	p, starts := script(t, "exec sleep 60")
	for range 2 {
		if v := h.Decide(context.Background(), p); v.KVM || v.Slow || !strings.Contains(v.Reason, "too busy") {
			t.Errorf("verdict %+v", v)
		}
	}
	if n := starts(); n != 4 {
		t.Errorf("%d probes; want 4", n)
	}
}

func TestInterruptedProbeIsNotRemembered(t *testing.T) {
	h := host(t, true, "svm", "1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p, _ := script(t, "exec sleep 60")
	h.Decide(ctx, p)
	good, _ := script(t, "exit 11")
	good.Argv[3] = p.Argv[3] // the same subject would find a memory
	if _, err := os.Stat(h.CacheDir + "/kvm.json"); err == nil {
		t.Error("a verdict was remembered")
	}
}

func TestMemory(t *testing.T) {
	h := host(t, false, "", "boot-1")
	h.remember("x", "subject", 7)
	var n int
	if !h.recall("x", "subject", &n) || n != 7 {
		t.Fatalf("recalled %d", n)
	}
	if h.recall("x", "other", &n) || h.recall("y", "subject", &n) {
		t.Error("something else was recalled")
	}
	if err := os.WriteFile(h.BootID, []byte("boot-2"), 0o644); err != nil {
		t.Fatal(err)
	}
	if h.recall("x", "subject", &n) {
		t.Error("recalled after another boot")
	}
	for _, text := range []string{"", "{", `{"Boot":"boot-2","Subject":"subject","Value":"a"}`} {
		if err := os.WriteFile(h.CacheDir+"/x.json", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if h.recall("x", "subject", &n) {
			t.Errorf("recalled from %q", text)
		}
	}
	h.CacheDir = "/dev/null/x" // cannot be written: no harm
	h.remember("x", "subject", 7)
}

func TestTSC(t *testing.T) {
	if a, b := readTSC(), readTSC(); b < a {
		t.Errorf("the counter went from %d to %d", a, b)
	}
	one, two := measureTSC(), measureTSC()
	if one < 100_000 || one > 10_000_000 {
		t.Errorf("%d kHz is no CPU's frequency", one)
	}
	if d := float64(one-two) / float64(one); d > 0.001 || d < -0.001 {
		t.Errorf("measured %d and %d kHz", one, two)
	}
	h := host(t, false, "", "1")
	h.remember("tsc", "", 123)
	if got := h.TSC(); got != 123 {
		t.Errorf("TSC = %d; want what was remembered", got)
	}
}
