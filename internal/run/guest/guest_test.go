package guest

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ukl/internal/machine/qemu"
)

// The archive, against a reader of the format that is not ours where there is one.
func TestInitrd(t *testing.T) {
	o := Options{Argv: []string{"app", "", "two words\n"}, Env: []string{"A=1"}}
	b, err := o.initrd()
	if err != nil {
		t.Fatal(err)
	}
	if len(b)%4 != 0 || !bytes.HasPrefix(b, []byte("070701")) {
		t.Fatalf("%d bytes beginning with %.6q", len(b), b)
	}
	if !bytes.Contains(b, []byte("app\x00\x00two words\n\x00")) || !bytes.Contains(b, []byte("A=1\x00")) {
		t.Error("the data is not in it")
	}
	if again, _ := o.initrd(); !bytes.Equal(b, again) {
		t.Error("equal arguments, different archives")
	}
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Log("no cpio here to judge the archive")
		return
	}
	cmd := exec.Command(cpio, "--list", "--verbose", "--quiet")
	cmd.Stdin = bytes.NewReader(b)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		names = append(names, f[0]+" "+f[len(f)-1])
	}
	want := []string{
		"drwxr-xr-x etc", "-rw-r--r-- etc/group", "-rw-r--r-- etc/host.conf", "-rw-r--r-- etc/hostname",
		"-rw-r--r-- etc/hosts",
		"-rw-r--r-- etc/networks", "-rw-r--r-- etc/passwd", "-rw-r--r-- etc/protocols", "-rw-r--r-- etc/resolv.conf",
		"-rw-r--r-- etc/services", "drwxr-xr-x run", "drwxrwxrwt run/lock", "drwxr-xr-x var", "drwxr-xr-x var/cache",
		"drwxr-xr-x var/lib", "lrwxrwxrwx /run/lock", "drwxr-xr-x var/log", "lrwxrwxrwx /run", "drwxr-xr-x var/spool",
		"drwxrwxrwt var/tmp", "drwxr-xr-x ukl", "-rw------- ukl/argv", "-rw------- ukl/env",
	}
	if !slices.Equal(names, want) {
		t.Errorf("cpio reads %q", names)
	}
}

func TestEnviron(t *testing.T) {
	got := environ([]string{"A=1", "B=2"}, []string{"C=3", "A=4"}, []string{"B="})
	if want := []string{"A=4", "B=", "C=3"}; !slices.Equal(got, want) {
		t.Errorf("environ = %q; want %q", got, want)
	}
}

func TestStdio(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	open := func(name string) *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	one, same, other := open(name), open(name), open(name+"2")
	closed := open(name)
	closed.Close()
	for _, c := range []struct {
		out, err io.Writer
		want     string
	}{
		{one, one, joined},
		{one, same, joined},
		{one, other, apart},
		{one, io.Discard, apart},
		{io.Discard, io.Discard, apart},
		{closed, closed, apart},
		{nil, nil, apart},
	} {
		if got := (&Options{Stdout: c.out, Stderr: c.err}).stdio(); got != c.want {
			t.Errorf("stdio of %v and %v = %s; want %s", c.out, c.err, got, c.want)
		}
	}
}

func TestCmdline(t *testing.T) {
	const fixed = "hostname=ukl ip=10.0.2.15::10.0.2.2:255.255.255.0:ukl:eth0:off " + pings + " " + backlog + " " +
		mssOnce + " ukl.stdio=vport"
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{TSC: 5}, "tsc=reliable tsc_early_khz=5 " + fixed + " quiet"},
		{Options{TSC: 5, Verbose: true}, "tsc=reliable tsc_early_khz=5 " + fixed},
		{Options{TSC: 5, Machine: qemu.Machine{KVM: true}}, "tsc=reliable " + fixed + " quiet"},
		{
			Options{TSC: 5, Machine: qemu.Machine{Extra: []string{"-icount", "shift=0"}}},
			"tsc=reliable tsc_early_khz=1000000 " + fixed + " quiet",
		},
		{
			Options{TSC: 5, Machine: qemu.Machine{Append: "debug x=1"}},
			"tsc=reliable tsc_early_khz=5 " + fixed + " quiet debug x=1",
		},
		{
			Options{TSC: 5, Machine: qemu.Machine{Control: "socket,fd=3"}},
			"tsc=reliable tsc_early_khz=5 " + fixed + " ukl.control=vport quiet",
		},
	} {
		if got, want := c.o.cmdline(apart), "console=ttyS0 panic=-1 reboot=t "+c.want; got != want {
			t.Errorf("cmdline of %+v =\n%s\nwant\n%s", c.o, got, want)
		}
	}
}

// A distribution's kernel gets no word of ukl's patches, and under KVM none about its clock.
func TestCmdlineOfDistribution(t *testing.T) {
	const fixed = "hostname=ukl ip=10.0.2.15::10.0.2.2:255.255.255.0:ukl:eth0:off " + pings + " ukl.stdio=vport quiet"
	for _, c := range []struct {
		m    qemu.Machine
		want string
	}{
		{qemu.Machine{}, "tsc=reliable no_timer_check tsc_early_khz=5 " + fixed},
		{qemu.Machine{KVM: true}, fixed},
		{
			qemu.Machine{Extra: []string{"-icount", "shift=0"}},
			"tsc=reliable no_timer_check tsc_early_khz=1000000 " + fixed,
		},
	} {
		c.m.PC = true
		o := Options{TSC: 5, Machine: c.m}
		if got, want := o.cmdline(apart), "console=ttyS0 panic=-1 reboot=t "+c.want; got != want {
			t.Errorf("%+v:\n%s\nwant\n%s", c.m, got, want)
		}
	}
}

// Root and drivers come before what a run adds: of members with one name the kernel takes the last.
func TestInitrdWithDrivers(t *testing.T) {
	dir := t.TempDir()
	o := Options{Root: filepath.Join(dir, "root"), Drivers: filepath.Join(dir, "drivers"), Argv: []string{"a"}}
	var b bytes.Buffer
	if err := o.write(&archive{w: &b}); err == nil {
		t.Error("drivers that are not there are no error")
	}
	for _, f := range []string{o.Root, o.Drivers} {
		if err := os.WriteFile(f, []byte("<"+filepath.Base(f)+">"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.Reset()
	if err := o.write(&archive{w: &b}); err != nil || !bytes.HasPrefix(b.Bytes(), []byte("<root><drivers>0707")) {
		t.Errorf("%.40q, %v", b.Bytes(), err)
	}
}

// A step that fails undoes those before it.
func TestUndo(t *testing.T) {
	var order []string
	r := &run{}
	for i := range 3 {
		r.undos = append(r.undos, func() { order = append(order, fmt.Sprint(i)) })
	}
	r.undo()
	if got := strings.Join(order, ""); got != "210" {
		t.Errorf("undone in the order %s", got)
	}
	_, err := Run(t.Context(), Options{
		Program: qemu.Program{Argv: []string{"/nothere"}}, Stdout: &bytes.Buffer{},
		Stderr: &bytes.Buffer{},
	})
	if err == nil || !strings.HasPrefix(err.Error(), "QEMU: ") {
		t.Errorf("without a QEMU: %v", err)
	}
}
