// Package bench compares what an application measures in several modes: it reads the lines that the application prints,
// takes medians, and draws tables and plots. Only samples of one invocation are ever compared.
package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Mode is a way to run the application.
type Mode string

// The modes, in the order in which they are shown.
const (
	// Distro is the program of Process on Debian's own kernel, in a PC: what a user would boot without ukl. It is never
	// mixed with Process: kernel, configuration and machine are others.
	Distro  Mode = "distro"
	Process Mode = "process" // ring 3, Debian's C library, the unpatched kernel of the same configuration
	// Companion is the same program as Process, in ring 3 of the patched kernel: what its series costs those who do not
	// use it.
	Companion Mode = "companion"
	Gate      Mode = "gate"
	Bypass    Mode = "bypass"
)

// Modes returns all modes in the order in which they are shown.
func Modes() []Mode { return []Mode{Distro, Process, Companion, Gate, Bypass} }

// Ring is the privilege level that the application must report in a mode.
func (m Mode) Ring() int {
	if m == Gate || m == Bypass {
		return 0
	}
	return 3
}

// Run is what the application printed once: nanoseconds for one operation, a value for each sample.
type Run struct {
	Ring       int
	Operations []string // in the order of the output
	Samples    map[string][]float64
}

// Parse reads the output of an application: a line `ring N', then for each operation its name, how many of them a
// sample has, and the nanoseconds of each sample.
func Parse(output []byte) (Run, error) {
	r := Run{Ring: -1, Samples: map[string][]float64{}}
	sc := bufio.NewScanner(bytes.NewReader(output))
	for n := 1; sc.Scan(); n++ {
		f := strings.Fields(sc.Text())
		if len(f) == 2 && f[0] == "ring" {
			ring, err := strconv.Atoi(f[1])
			if err != nil {
				return r, fmt.Errorf("line %d: not a ring: %q", n, f[1])
			}
			r.Ring = ring
			continue
		}
		if len(f) < 3 {
			return r, fmt.Errorf("line %d: want an operation, its number in a sample, and samples: %q", n, sc.Text())
		}
		times, err := strconv.Atoi(f[1])
		if err != nil || times < 1 {
			return r, fmt.Errorf("line %d: not a number of operations: %q", n, f[1])
		}
		if r.Samples[f[0]] != nil {
			return r, fmt.Errorf("line %d: %s occurs twice", n, f[0])
		}
		for _, s := range f[2:] {
			ns, err := strconv.ParseInt(s, 10, 64)
			if err != nil || ns < 0 {
				return r, fmt.Errorf("line %d: not a number of nanoseconds: %q", n, s)
			}
			r.Samples[f[0]] = append(r.Samples[f[0]], float64(ns)/float64(times))
		}
		r.Operations = append(r.Operations, f[0])
	}
	if err := sc.Err(); err != nil {
		return r, err
	}
	if r.Ring < 0 || len(r.Operations) == 0 {
		return r, fmt.Errorf("no measurements in the output")
	}
	return r, nil
}

// Figure is what one operation costs in one mode: instructions or nanoseconds.
type Figure struct {
	Median  float64   `json:"median"`
	Min     float64   `json:"min"`
	Max     float64   `json:"max"`
	Samples []float64 `json:"samples"`
}

func figure(samples []float64) Figure {
	s := slices.Sorted(slices.Values(samples))
	median := s[len(s)/2]
	if len(s)%2 == 0 {
		median = (s[len(s)/2-1] + median) / 2
	}
	return Figure{median, s[0], s[len(s)-1], samples}
}

// Operation is one row of a report. A mode that was not run is missing.
type Operation struct {
	Name         string          `json:"name"`
	Instructions map[Mode]Figure `json:"instructions,omitempty"`
	Nanoseconds  map[Mode]Figure `json:"nanoseconds,omitempty"`
}

// Guest is what a mode's application ran on.
type Guest struct {
	Kernel  string `json:"kernel"`  // release and version, as uname -rv prints them
	Owner   string `json:"owner"`   // of the configuration: Debian or ukl
	Config  string `json:"config"`  // SHA-256 of the configuration
	Machine string `json:"machine"` // QEMU's name
	CPU     string `json:"cpu"`     // likewise, where instructions are counted
	// TimesCPU is likewise, where times are measured; "" measures none.
	TimesCPU string `json:"timesCpu,omitempty"`
}

// Report is all of one invocation, and what it was made with.
type Report struct {
	Version      int            `json:"version"` // of this shape: 1
	Application  string         `json:"application"`
	Accelerator  string         `json:"accelerator"` // of the times; instructions are always counted by TCG
	CPU          string         `json:"cpu"`         // of the host
	Rounds       int            `json:"rounds"`
	KernelConfig string         `json:"kernelConfig"` // SHA-256
	Guests       map[Mode]Guest `json:"guests"`
	Operations   []Operation    `json:"operations"`
}

// AddInstructions adds a run in which the clock counted instructions.
func (r *Report) AddInstructions(m Mode, run Run) {
	r.add(m, run, func(o *Operation) *map[Mode]Figure { return &o.Instructions })
}

// AddTimes adds a run in which the clock was a clock.
func (r *Report) AddTimes(m Mode, run Run) {
	r.add(m, run, func(o *Operation) *map[Mode]Figure { return &o.Nanoseconds })
}

func (r *Report) add(m Mode, run Run, figures func(*Operation) *map[Mode]Figure) {
	for _, name := range run.Operations {
		i := slices.IndexFunc(r.Operations, func(o Operation) bool { return o.Name == name })
		if i < 0 {
			i = len(r.Operations)
			r.Operations = append(r.Operations, Operation{Name: name})
		}
		f := figures(&r.Operations[i])
		if *f == nil {
			*f = map[Mode]Figure{}
		}
		(*f)[m] = figure(slices.Concat((*f)[m].Samples, run.Samples[name]))
	}
}

// Ratio says how many times less a mode takes than Process; 0 if one of them was not measured.
func Ratio(f map[Mode]Figure, m Mode) float64 { return quotient(f, pair{Process, m}) }

// pair is two modes of which the table has the quotient.
type pair struct{ of, by Mode }

func (p pair) String() string { return string(p.of) + "/" + string(p.by) }

func quotient(f map[Mode]Figure, p pair) float64 {
	if f[p.by].Median == 0 {
		return 0
	}
	return f[p.of].Median / f[p.by].Median
}

// columns are the modes of a report, each with the quotient that its column is followed by; the zero pair is none.
// Without a guest of Distro there is no column of it.
func (r *Report) columns() ([]Mode, map[Mode]pair) {
	ratios := map[Mode]pair{Companion: {Process, Companion}, Gate: {Process, Gate}, Bypass: {Process, Bypass}}
	if _, ok := r.Guests[Distro]; !ok {
		return slices.DeleteFunc(Modes(), func(m Mode) bool { return m == Distro }), ratios
	}
	ratios[Distro] = pair{Distro, Bypass}
	return Modes(), ratios
}

// guests prints what each mode ran on.
func (r *Report) guests(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range Modes() {
		g, ok := r.Guests[m]
		if !ok {
			continue
		}
		times := ""
		if g.TimesCPU != "" && g.TimesCPU != g.CPU {
			times = ", for times " + g.TimesCPU
		}
		fmt.Fprintf(t, "%s\tLinux %s, %s's configuration %.12s, machine %s, CPU %s%s\n", m, g.Kernel, g.Owner, g.Config,
			g.Machine, g.CPU, times)
	}
	return t.Flush()
}

// Table prints a report for people. Each ratio names the two modes that it is of.
func (r *Report) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s on %s, %s, %d rounds of each mode in turn, kernel configuration %.12s\n", r.Application, r.CPU,
		r.Accelerator, r.Rounds, r.KernelConfig)
	if err := r.guests(w); err != nil {
		return err
	}
	modes, ratios := r.columns()
	for _, part := range []struct {
		title   string
		figures func(Operation) map[Mode]Figure
		spread  bool
	}{
		{"instructions for one, exact, counted by QEMU", func(o Operation) map[Mode]Figure { return o.Instructions }, false},
		{
			"nanoseconds for one: median, and from least to most", func(o Operation) map[Mode]Figure { return o.Nanoseconds },
			true,
		},
	} {
		if !slices.ContainsFunc(r.Operations, func(o Operation) bool { return part.figures(o) != nil }) {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", part.title)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(t, "\t")
		for _, m := range modes {
			fmt.Fprintf(t, "%s\t", m)
			if p, ok := ratios[m]; ok {
				fmt.Fprintf(t, "%s\t", p)
			}
		}
		fmt.Fprintln(t)
		for _, o := range r.Operations {
			f := part.figures(o)
			fmt.Fprintf(t, "%s\t", o.Name)
			for _, m := range modes {
				fmt.Fprintf(t, "%s\t", cell(f, m, part.spread))
				if p, ok := ratios[m]; ok {
					fmt.Fprintf(t, "%s\t", ratio(f, p))
				}
			}
			fmt.Fprintln(t)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	return nil
}

func cell(f map[Mode]Figure, m Mode, spread bool) string {
	v, ok := f[m]
	switch {
	case !ok:
		return "-"
	case spread:
		return fmt.Sprintf("%.0f (%.0f-%.0f)", v.Median, v.Min, v.Max)
	}
	return fmt.Sprintf("%.0f", v.Median)
}

func ratio(f map[Mode]Figure, p pair) string {
	if x := quotient(f, p); x != 0 {
		return fmt.Sprintf("%.2f", x)
	}
	return "-"
}
