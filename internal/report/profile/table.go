package profile

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Report is what a run of one application gave, and of the same one in another mode if it is compared.
type Report struct {
	Version     int        `json:"version"`
	Application string     `json:"application"`
	CPU         string     `json:"cpu"`           // QEMU's model
	Per         string     `json:"per,omitempty"` // the function between whose calls was counted
	Profiles    []*Profile `json:"profiles"`      // the second is what the first is compared with
}

// Table writes the parts, and the functions with most instructions of their own; of two runs those that differ most.
func (r *Report) Table(w io.Writer, rows int) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: instructions%s, under QEMU's emulation of %q\n\n", r.Application, r.between(), r.CPU)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(cells ...string) { fmt.Fprintf(t, "%s\t\n", strings.Join(cells, "\t")) }
	named := func(name string, cells ...string) { fmt.Fprintf(t, "%s\t  %s\n", strings.Join(cells, "\t"), name) }
	head := []string{""}
	for _, p := range r.Profiles {
		head = append(head, p.Mode, "")
	}
	row(r.compared(head, "difference")...)
	for _, part := range append(Parts(), "all") {
		cells := []string{string(part)}
		var values []float64
		for _, p := range r.Profiles {
			n := p.Parts[part]
			if part == "all" {
				n = p.Instructions
			}
			values = append(values, float64(n)/p.Per())
			cells = append(cells, number(float64(n)/p.Per()), percent(n, p.Instructions))
		}
		if slices.Max(values) > 0 || part == "all" {
			row(r.compared(cells, difference(values))...)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	b.WriteString("\n")
	t = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	if len(r.Profiles) > 1 {
		named("function", r.Profiles[0].Mode, r.Profiles[1].Mode, "difference", "part")
		for _, d := range r.differences(rows) {
			named(d.Name, number(d.self[0]), number(d.self[1]), difference(d.self[:]), string(d.Part))
		}
	} else {
		p := r.Profiles[0]
		named("function", "self", "", "total", "", "part")
		for _, f := range p.Functions[:min(rows, len(p.Functions))] {
			named(f.Name, number(float64(f.Self)/p.Per()), percent(f.Self, p.Instructions),
				number(float64(f.Total)/p.Per()), percent(f.Total, p.Instructions), string(f.Part))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// between says what was counted.
func (r *Report) between() string {
	if r.Per == "" {
		return ""
	}
	var calls []string
	for _, p := range r.Profiles {
		calls = append(calls, strconv.FormatUint(p.Calls, 10))
	}
	return fmt.Sprintf(" for each call of %s, of %s calls", r.Per, strings.Join(calls, " and "))
}

// compared adds a cell that only a comparison has.
func (r *Report) compared(cells []string, more string) []string {
	if len(r.Profiles) > 1 {
		return append(cells, more)
	}
	return cells
}

type differing struct {
	Function
	self [2]float64
}

// differences are the functions whose own instructions differ most between the two runs.
func (r *Report) differences(rows int) []differing {
	all := map[Function]*differing{}
	for i, p := range r.Profiles[:2] {
		for _, f := range p.Functions {
			key := Function{f.Name, f.Part}
			if all[key] == nil {
				all[key] = &differing{Function: key}
			}
			all[key].self[i] = float64(f.Self) / p.Per()
		}
	}
	var list []differing
	for _, d := range all {
		if d.self[0] != d.self[1] {
			list = append(list, *d)
		}
	}
	slices.SortFunc(list, func(a, b differing) int {
		return cmp.Or(cmp.Compare(math.Abs(b.self[0]-b.self[1]), math.Abs(a.self[0]-a.self[1])),
			strings.Compare(a.Name, b.Name), cmp.Compare(a.Part, b.Part))
	})
	return list[:min(rows, len(list))]
}

// number is a count: whole, unless it is a small part of a call.
func number(n float64) string {
	if n == math.Trunc(n) || n >= 1000 {
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return strconv.FormatFloat(n, 'f', 1, 64)
}

func percent(n, of uint64) string {
	if of == 0 {
		return "0.0%"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(n)/float64(of))
}

// difference is how much more the first took than the second.
func difference(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	d := values[0] - values[1]
	if d > 0 {
		return "+" + number(d)
	}
	return number(d)
}
