package imagepage

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Moment is a line of a kernel's log.
type Moment struct {
	At   float64 // seconds on the guest's clock
	Text string
}

// Moments reads a kernel's log: the lines that have a time stamp, up to the first that goes back in time, where another
// boot begins.
func Moments(log string) []Moment {
	var all []Moment
	for line := range strings.Lines(log) {
		stamp, text, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "] ")
		digits, bracket := strings.CutPrefix(stamp, "[")
		at, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if !ok || !bracket || err != nil || !(at >= 0 && at < 1e6) { // "NaN" is a number, too
			continue
		}
		if n := len(all); n > 0 && at < all[n-1].At {
			break
		}
		all = append(all, Moment{at, text})
	}
	return all
}

// step is what lies between two lines.
type step struct {
	from, to float64
	text     string // the line at its end
}

// shownSteps is how many bars a timeline has.
const shownSteps = 18

// steps are the longest times between lines, by time.
func steps(moments []Moment) []step {
	var all []step
	for i, m := range moments[min(1, len(moments)):] {
		if m.At > moments[i].At {
			all = append(all, step{moments[i].At, m.At, m.Text})
		}
	}
	slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(b.to-b.from, a.to-a.from) })
	all = all[:min(len(all), shownSteps)]
	slices.SortStableFunc(all, func(a, b step) int { return cmp.Compare(a.from, b.from) })
	return all
}

// Sizes of a timeline, in SVG's units.
const (
	lineWidth  = 1000
	axis       = 24
	stepHeight = 20
	margin     = 6
)

// timeline draws a boot as SVG: a bar for each of the longest steps, with the line that ended it.
func timeline(moments []Moment) string {
	list := steps(moments)
	if len(list) == 0 {
		return ""
	}
	end := moments[len(moments)-1].At
	height := axis + stepHeight*len(list) + margin
	x := func(at float64) float64 { return margin + at/end*(lineWidth-2*margin) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="boot" class="line">`+"\n", lineWidth, height)
	each := tick(end)
	for n := 0; float64(n)*each <= end; n++ {
		at := float64(n) * each
		anchor := "middle"
		if n == 0 {
			anchor = "start"
		} else if at > 0.97*end {
			anchor = "end"
		}
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="grid"/><text x="%.1f" y="12" text-anchor="%s">%s</text>`+"\n",
			x(at), axis-6, x(at), height, x(at), anchor, seconds(at))
	}
	for _, m := range moments {
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" class="moment"><title>%s %s</title></line>`+"\n", x(m.At),
			axis-6, x(m.At), axis-1, seconds(m.At), escape(m.Text))
	}
	for i, s := range list {
		y := axis + stepHeight*i
		took := seconds(s.to - s.from)
		fmt.Fprintf(&b, `<rect x="%.1f" y="%d" width="%.1f" height="%d" class="step"><title>%s, until at %s: %s</title></rect>`+"\n",
			x(s.from), y+2, max(x(s.to)-x(s.from), 1), stepHeight-5, took, seconds(s.to), escape(s.text))
		text := took + "  " + s.text
		at, anchor, room := beside(x(s.from), x(s.to), letter*float64(utf8.RuneCountInString(text)))
		if most := int(room / letter); utf8.RuneCountInString(text) > most {
			text = string([]rune(text)[:max(most-1, 0)]) + "…"
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="%s">%s</text>`+"\n", at, y+stepHeight-7, anchor, escape(text))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// beside finds the place for a text of some width that belongs to a bar: on the side where there is more room or, if
// that does not do and the bar is longer, in the bar.
func beside(from, to, width float64) (at float64, anchor string, room float64) {
	const gap = 5
	before, behind, inside := from-2*gap, lineWidth-to-2*gap, to-from-2*gap
	switch best := max(before, behind); {
	case best < width && best < inside:
		return from + gap, "start", inside
	case before > behind:
		return from - gap, "end", before
	}
	return to + gap, "start", behind
}

// tick is a round distance of which some ten fit.
func tick(end float64) float64 {
	for unit := 0.001; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if end/(n*unit) <= 10 {
				return n * unit
			}
		}
	}
}

func seconds(s float64) string {
	if s < 1 {
		return fmt.Sprintf("%.0f ms", 1000*s)
	}
	return fmt.Sprintf("%.2f s", s)
}
