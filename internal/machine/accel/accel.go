// Package accel decides whether KVM may be used on this machine, and measures its clock. A /dev/kvm that opens proves
// nothing: some abort, some run ring-0 code hundreds of times slower than TCG. So KVM is used only if the CPU has the
// extension AND a small guest proves it in time. What was found is remembered until the host boots again.
package accel

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ukl/internal/host/scratch"
	"ukl/internal/machine/qemu"
)

// Choice is what a user asks for.
type Choice string

const (
	Auto Choice = "auto" // KVM where it is proven, TCG otherwise
	KVM  Choice = "kvm"  // never falls back
	TCG  Choice = "tcg"
)

// Choices are all values of Choice, as help shows them.
func Choices() []string { return []string{string(Auto), string(KVM), string(TCG)} }

// Verdict says what will run a guest here, and why.
type Verdict struct {
	KVM    bool
	CPU    string        `json:",omitempty"` // QEMU's CPU model that KVM works with
	Reason string        `json:",omitempty"` // why not KVM; "" with KVM
	Remedy string        `json:",omitempty"` // what the user can do about it; "" is nothing
	Loop   time.Duration `json:",omitempty"` // what the probe took
	Slow   bool          `json:",omitempty"` // KVM runs guests of the model CPU, but TCG is faster

	unsure bool // not even TCG ran the probe: the host is too busy to tell
}

// Host is the machine as the verdict needs it; tests make their own.
type Host struct {
	Device   string // /dev/kvm
	CPUInfo  string // /proc/cpuinfo
	BootID   string // /proc/sys/kernel/random/boot_id
	CacheDir string // "" remembers nothing
}

// Local is this machine; cacheDir keeps what was measured.
func Local(cacheDir string) Host {
	return Host{"/dev/kvm", "/proc/cpuinfo", "/proc/sys/kernel/random/boot_id", cacheDir}
}

// The probe's loop of 2 instructions takes some 10 ms on a CPU of 1 GHz with KVM, 60 ms under TCG, and 20 s where KVM
// interprets. Starting QEMU takes 50 ms, ten times that on a loaded host. A probe that is slower than quick is compared
// with TCG, which shares the host's load: KVM must not take longer than slower times as much.
const (
	loops     = 20_000_000
	quick     = 2 * time.Second
	probeTime = 3 * time.Second
	slower    = 2
)

// tcgTime is how long TCG may take for the probe; a variable for tests.
var tcgTime = 30 * time.Second

// Quick is the part of the verdict that needs no QEMU. decided is false if a probe must tell.
func (h Host) Quick() (v Verdict, decided bool) {
	f, err := os.OpenFile(h.Device, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Verdict{Reason: "there is no " + h.Device}, true
	case errors.Is(err, fs.ErrPermission):
		return Verdict{
			Reason: h.Device + " exists, but you may not read and write it",
			Remedy: "sudo usermod -aG kvm $USER, then log in again",
		}, true
	case err != nil:
		return Verdict{Reason: err.Error()}, true
	}
	f.Close()
	if !h.extension() {
		return Verdict{Reason: h.Device + " exists, but the CPU has neither vmx nor svm"}, true
	}
	return Verdict{}, false
}

// extension tells whether /proc/cpuinfo lists one of the CPU's virtualisation extensions.
func (h Host) extension() bool {
	f, err := os.Open(h.CPUInfo)
	if err != nil {
		return false
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if key, flags, _ := strings.Cut(sc.Text(), ":"); strings.TrimSpace(key) == "flags" {
			fields := strings.Fields(flags)
			return slices.Contains(fields, "vmx") || slices.Contains(fields, "svm")
		}
	}
	return false
}

// Decide is the whole verdict. It is found once per boot of the host and QEMU, unless the host was too busy to tell.
func (h Host) Decide(ctx context.Context, p qemu.Program) Verdict {
	if v, ok := h.Quick(); ok {
		return v
	}
	var v Verdict
	if h.recall("kvm", p.Identity(), &v) {
		return v
	}
	v = probe(ctx, p)
	if ctx.Err() == nil && !v.unsure {
		h.remember("kvm", p.Identity(), v)
	}
	return v
}

// probe boots the loop guest. Some hosts refuse the CPU model "host" for a single feature.
func probe(ctx context.Context, p qemu.Program) Verdict {
	var reasons []string
	for _, cpu := range []string{"host", "host,-arch-capabilities"} {
		took, err := Boot(ctx, p, "kvm", cpu)
		switch {
		case err == nil && took <= quick:
			return Verdict{KVM: true, CPU: cpu, Loop: took}
		case err == nil || errors.As(err, new(noEnd)):
			return compare(ctx, p, cpu, took, err)
		}
		reasons = append(reasons, err.Error())
	}
	return Verdict{Reason: "KVM cannot run the probe: " + reasons[0]}
}

// compare is the verdict on a KVM that took long for the probe, or did not end: is it KVM or the host that is slow?
func compare(ctx context.Context, p qemu.Program, cpu string, took time.Duration, slow error) Verdict {
	tcg, err := Boot(ctx, p, "tcg", "max")
	if err != nil {
		return Verdict{Reason: "this machine is too busy to try KVM: even without it, the probe had " + err.Error(), CPU: cpu, unsure: true}
	}
	limit := slower * tcg
	if slow != nil && limit > probeTime {
		took, slow = boot(ctx, p, "kvm", cpu, limit)
	}
	switch {
	case slow == nil && took <= limit:
		return Verdict{KVM: true, CPU: cpu, Loop: took}
	case slow == nil:
		return Verdict{
			Reason: fmt.Sprintf("KVM ran the probe in %d ms, as if it interpreted it, TCG in %d ms", took.Milliseconds(),
				tcg.Milliseconds()),
			CPU: cpu, Loop: took, Slow: true,
		}
	default:
		return Verdict{
			Reason: fmt.Sprintf("KVM is slower than TCG, which ran the probe in %d ms: %v", tcg.Milliseconds(), slow),
			CPU:    cpu, Slow: true,
		}
	}
}

// MayWork tells whether somebody who wants KVM all the same may have it: it is not known to fail.
func (v Verdict) MayWork() bool { return v.KVM || v.Slow || v.unsure }

// noEnd is the error of a probe that took too long.
type noEnd time.Duration

func (t noEnd) Error() string {
	return fmt.Sprintf("no end after %s", time.Duration(t).Round(100*time.Millisecond))
}

// Boot runs the loop guest once and returns the time from start to end of QEMU.
func Boot(ctx context.Context, p qemu.Program, accelerator, cpu string) (time.Duration, error) {
	limit := probeTime
	if accelerator == "tcg" {
		limit = tcgTime
	}
	return boot(ctx, p, accelerator, cpu, limit)
}

func boot(ctx context.Context, p qemu.Program, accelerator, cpu string, limit time.Duration) (time.Duration, error) {
	dir, done, err := scratch.Dir("ukl-probe-")
	if err != nil {
		return 0, err
	}
	defer done()
	guest := filepath.Join(dir, "guest")
	if err := os.WriteFile(guest, qemu.LoopGuest(loops), 0o600); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	start := time.Now()
	proc, err := p.Start(qemu.ProbeArgs(guest, accelerator, cpu), nil, qemu.Limits{})
	if err != nil {
		return 0, err
	}
	select {
	case <-proc.Done():
	case <-ctx.Done():
		proc.Kill()
		return 0, noEnd(limit)
	}
	if code := proc.ExitCode(); code != qemu.LoopDone {
		if said := proc.Failure(); said != "" {
			line, _, _ := strings.Cut(said, "\n")
			return 0, errors.New(line)
		}
		return 0, fmt.Errorf("QEMU ended with status %d", code)
	}
	return time.Since(start), nil
}

// TSC is the frequency of the host's time stamp counter in kHz. Under TCG the guest's counter is the host's.
func (h Host) TSC() int {
	var khz int
	if h.recall("tsc", "", &khz) && khz > 0 {
		return khz
	}
	khz = measureTSC()
	h.remember("tsc", "", khz)
	return khz
}

// memo is one remembered measurement: it holds for one boot of the host and one subject.
type memo struct {
	Boot, Subject string
	Value         json.RawMessage
}

func (h Host) bootID() string {
	b, err := os.ReadFile(h.BootID)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (h Host) recall(name, subject string, value any) bool {
	if h.CacheDir == "" {
		return false
	}
	b, err := os.ReadFile(filepath.Join(h.CacheDir, name+".json"))
	var m memo
	if err != nil || json.Unmarshal(b, &m) != nil || m.Boot == "" || m.Boot != h.bootID() || m.Subject != subject {
		return false
	}
	return json.Unmarshal(m.Value, value) == nil
}

// remember is best effort: without it the next run measures again.
func (h Host) remember(name, subject string, value any) {
	if h.CacheDir == "" || os.MkdirAll(h.CacheDir, 0o755) != nil {
		return
	}
	v, err := json.Marshal(value)
	if err != nil {
		return
	}
	b, err := json.Marshal(memo{h.bootID(), subject, v})
	if err != nil {
		return
	}
	f, err := os.CreateTemp(h.CacheDir, "."+name)
	if err != nil {
		return
	}
	_, err = f.Write(b)
	if f.Close() == nil && err == nil {
		err = os.Rename(f.Name(), filepath.Join(h.CacheDir, name+".json"))
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
