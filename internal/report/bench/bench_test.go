package bench

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

func parse(t *testing.T, s string) Run {
	t.Helper()
	r, err := Parse([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestParse(t *testing.T) {
	r := parse(t, "ring 0\ngetppid 10 500 520\nread/1 2 9\n")
	if r.Ring != 0 || len(r.Operations) != 2 || r.Samples["getppid"][1] != 52 || r.Samples["read/1"][0] != 4.5 {
		t.Errorf("got %+v", r)
	}
	for _, bad := range []string{
		"", "ring 3\n", "getppid 10 5\n", "ring 0\ngetppid 0 5\n", "ring 0\ngetppid 1 -5\n",
		"ring 0\ngetppid 1\n", "ring 0\na 1 1\na 1 1\n", "ring x\n",
	} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func report(t *testing.T) *Report {
	r := &Report{
		Version: 1, Application: "a<b", Accelerator: "TCG", CPU: "cpu", Rounds: 2,
		KernelConfig: "0123456789abcdef",
	}
	r.AddInstructions(Process, parse(t, "ring 3\ngetppid 1 190\n"))
	r.AddInstructions(Bypass, parse(t, "ring 0\ngetppid 1 49 50 51\n"))
	r.AddInstructions(Bypass, parse(t, "ring 0\ngetppid 1 48\n"))
	return r
}

func TestReport(t *testing.T) {
	r := report(t)
	f := r.Operations[0].Instructions[Bypass]
	if f.Median != 49.5 || f.Min != 48 || f.Max != 51 || len(f.Samples) != 4 {
		t.Errorf("got %+v", f)
	}
	if x := Ratio(r.Operations[0].Instructions, Bypass); x != 190/49.5 {
		t.Errorf("ratio %v", x)
	}
	if x := Ratio(r.Operations[0].Instructions, Gate); x != 0 {
		t.Errorf("a mode that was not run has the ratio %v", x)
	}
	var b strings.Builder
	if err := r.Table(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0123456789ab\n", "getppid", "190", "3.84", "-"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "nanoseconds") {
		t.Errorf("times that were not measured:\n%s", b.String())
	}
}

// The distribution's guest is a column of its own, with what it ran on, and its ratio names both modes. Without it
// there is no such column.
func TestDistro(t *testing.T) {
	r := report(t)
	r.Guests = map[Mode]Guest{
		Process: {Kernel: "6.1.192 #1 SMP", Owner: "ukl", Config: "aaaaaaaaaaaaaaa", Machine: "microvm", CPU: "max"},
	}
	table := func() string {
		var b strings.Builder
		if err := r.Table(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	without := table()
	if strings.Contains(without, "distro") ||
		!strings.Contains(without, "process  Linux 6.1.192 #1 SMP, ukl's configuration aaaaaaaaaaaa, machine microvm, CPU max\n") {
		t.Error(without)
	}
	r.AddInstructions(Distro, parse(t, "ring 3\ngetppid 1 99\n"))
	r.Guests[Distro] = Guest{
		Kernel: "6.1.0-57 #1 Debian", Owner: "Debian", Config: "b", Machine: "pc", CPU: "max", TimesCPU: "host",
	}
	with := table()
	for _, want := range []string{
		"distro   Linux 6.1.0-57 #1 Debian, Debian's configuration b, machine pc, CPU max, for times host\n",
		"distro/bypass", "process/bypass", "99", "2.00", "3.84",
	} {
		if !strings.Contains(with, want) {
			t.Errorf("no %q in\n%s", want, with)
		}
	}
	for _, never := range []string{"distro/process", "process/distro", " ratio"} {
		if strings.Contains(with, never) {
			t.Errorf("%q in\n%s", never, with)
		}
	}
	if Distro.Ring() != 3 || Process.Ring() != 3 || Companion.Ring() != 3 || Gate.Ring() != 0 || Bypass.Ring() != 0 {
		t.Error("a mode has the wrong ring")
	}
	var svg strings.Builder
	if err := r.SVG(&svg); err != nil || strings.Contains(svg.String(), "distro") {
		t.Errorf("the plot, whose line is the process, has the distribution's guest: %v", err)
	}
}

func TestSVG(t *testing.T) {
	var b strings.Builder
	if err := report(t).SVG(&b); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, b.String())
		}
	}
	if !strings.Contains(b.String(), ">3.84</text>") {
		t.Errorf("no ratio in\n%s", b.String())
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("ring 0\ngetppid 10 500 520\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Parse(b)
		if err == nil && len(r.Samples) != len(r.Operations) {
			t.Errorf("%+v", r)
		}
	})
}
