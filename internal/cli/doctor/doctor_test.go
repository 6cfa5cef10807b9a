package doctor

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ukl/internal/host/nix"
	"ukl/internal/machine/accel"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
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
	for name, want := range map[string]Status{
		"disk": OK, "folders": OK, "kvm": Warn, "clock": OK, "ports": OK,
		"settings": Warn, "sources": Warn,
	} {
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
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := qemu.Forward{Addr: "127.0.0.1", Host: l.Addr().(*net.TCPAddr).Port, Guest: 80}
	found, _ := examine(t, func(h *Host) { h.Ports = []qemu.Forward{taken} })
	if f := found["ports"]; f.Status != Warn || !strings.Contains(f.Text, taken.HostPort()+" is taken by ") ||
		!strings.Contains(f.Remedy, "-p ") {
		t.Errorf("a taken port: %+v", f)
	}
	found, _ = examine(t, func(h *Host) { h.Free = func() (uint64, error) { return 0, errors.New("no idea") } })
	if f := found["disk"]; f.Status != Warn {
		t.Errorf("a file system that does not tell: %+v", f)
	}
}

func TestJudge(t *testing.T) {
	machines := func(text string) func(string) ([]byte, error) {
		return func(file string) ([]byte, error) {
			if text == "" || file != "/etc/nix/machines" {
				return nil, fs.ErrNotExist
			}
			return []byte(text), nil
		}
	}
	const usual = "https://cache.nixos.org/"
	for _, c := range []struct {
		s    nix.Settings
		root bool
		file string
		want Status
		text string
	}{
		{
			nix.Settings{Sandbox: "true", Builders: "@/etc/nix/machines", Substituters: []string{usual}},
			false, "", OK,
			"builds run on this machine only, no cache is asked",
		},
		{
			nix.Settings{Sandbox: "true", Builders: "@/etc/nix/machines"},
			false, "ssh://a\n", OK,
			"builds may also run on other machines",
		},
		{
			nix.Settings{Sandbox: "true", Builders: "ssh://a", Substituters: []string{usual, "file:///x"}},
			false, "", OK,
			"caches: file:///x",
		},
		{nix.Settings{Sandbox: "relaxed"}, false, "", Warn, "sandbox = relaxed"},
		{nix.Settings{Sandbox: "false"}, true, "", OK, "on this machine only"}, // ukl's own setting wins
	} {
		if f := judge(c.s, c.root, machines(c.file)); f.Status != c.want || !strings.Contains(f.Text, c.text) ||
			(f.Remedy == "") != (c.want == OK) {
			t.Errorf("%+v: %+v", c.s, f)
		}
	}
}
