package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/accel"
	"ukl/internal/pins"
	"ukl/nixexprs"
)

// examine runs the checks on a machine without Nix, KVM and QEMU, changed by change.
func examine(t *testing.T, change func(*Host)) (map[string]Finding, bool) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("HOME", dir)
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	cpuinfo := filepath.Join(dir, "cpuinfo")
	if err := os.WriteFile(cpuinfo, []byte("flags : constant_tsc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	h := Host{
		Accel: accel.Host{Device: dir + "/kvm", CPUInfo: cpuinfo, BootID: dir + "/boot"},
		Dirs:  []string{dir + "/a/b"},
		Lock:  lock,
		Free:  func() (uint64, error) { return 100e9, nil },
	}
	change(&h)
	found := map[string]Finding{}
	well := Run(context.Background(), h, func(f Finding) {
		if _, twice := found[f.Name]; twice || f.Text == "" {
			t.Errorf("finding %+v", f)
		}
		found[f.Name] = f
	})
	return found, well
}

func TestRun(t *testing.T) {
	found, well := examine(t, func(*Host) {})
	if _, err := os.Stat("/nix/var/nix/profiles/default/bin/nix-store"); errors.Is(err, os.ErrNotExist) {
		if f := found["nix"]; well || f.Status != Fail || f.Remedy == "" {
			t.Errorf("without Nix: well %v, %+v", well, f)
		}
	}
	for name, want := range map[string]Status{"disk": OK, "folders": OK, "kvm": Warn, "clock": OK} {
		if f := found[name]; f.Status != want {
			t.Errorf("%s: %+v; want %s", name, f, want)
		}
	}
	if f := found["kvm"]; !strings.Contains(f.Text, "there is no") || !strings.Contains(f.Text, "TCG") {
		t.Errorf("kvm: %+v", f)
	}
}

func TestFailures(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Host)
		text   string
	}{
		{"disk", func(h *Host) { h.Free = func() (uint64, error) { return 1e6, nil } }, "1 MB are free"},
		{"folders", func(h *Host) { h.Dirs = []string{"/dev/null/x"} }, "not a directory"},
		{"qemu", func(h *Host) { h.QEMU = "/nothere" }, "UKL_QEMU"},
	} {
		found, well := examine(t, c.change)
		if f := found[c.name]; well || f.Status != Fail || !strings.Contains(f.Text, c.text) || f.Remedy == "" {
			t.Errorf("%s: well %v, %+v", c.name, well, f)
		}
	}
	found, _ := examine(t, func(h *Host) { h.Free = func() (uint64, error) { return 0, errors.New("no idea") } })
	if f := found["disk"]; f.Status != Warn {
		t.Errorf("a file system that does not tell: %+v", f)
	}
}
