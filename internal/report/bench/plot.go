package bench

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Sizes of the plot, in SVG's units.
const (
	labels = 130 // room for the names of operations
	width  = 560 // of the axis
	bar    = 9
	row    = 2*bar + 10
	head   = 64
	foot   = 40
)

var colours = map[Mode]string{Gate: "#8da0cb", Bypass: "#fc8d62"}

// SVG draws for each operation how many times fewer instructions (times, if none were counted) the other modes take
// than an ordinary process. The line at 1 is the process itself.
func (r *Report) SVG(w io.Writer) error {
	figures, what := func(o Operation) map[Mode]Figure { return o.Instructions }, "instructions"
	if len(r.Operations) > 0 && r.Operations[0].Instructions == nil {
		figures, what = func(o Operation) map[Mode]Figure { return o.Nanoseconds }, "time"
	}
	most := 1.0
	for _, o := range r.Operations {
		for m := range colours {
			most = math.Max(most, Ratio(figures(o), m))
		}
	}
	most = math.Ceil(most)
	x := func(ratio float64) float64 { return labels + ratio/most*width }
	height := head + row*len(r.Operations) + foot

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12">`+"\n", labels+width+60, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&b, `<text x="%d" y="18" font-size="14">%s: %s of an ordinary process, divided by those in ring 0</text>`+
		"\n", 8, escape(r.Application), what)
	fmt.Fprintf(&b, `<text x="8" y="34" fill="#555">%s, %s</text>`+"\n", escape(r.CPU), escape(r.Accelerator))
	at := 8
	for _, m := range Modes() {
		if c, ok := colours[m]; ok {
			fmt.Fprintf(&b, `<rect x="%d" y="42" width="12" height="12" fill="%s"/><text x="%d" y="52">%s</text>`+"\n", at, c,
				at+16, m)
			at += 90
		}
	}
	for tick := 0.0; tick <= most; tick++ {
		stroke := "#ddd"
		if tick == 1 {
			stroke = "#000"
		}
		fmt.Fprintf(&b, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="%s"/><text x="%.1f" y="%d" text-anchor="middle">%.0f</text>`+"\n",
			x(tick), head, x(tick), height-foot, stroke, x(tick), height-foot+16, tick)
	}
	for i, o := range r.Operations {
		y := head + row*i + 4
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labels-8, y+bar+4, escape(o.Name))
		for _, m := range Modes() {
			c, ok := colours[m]
			ratio := Ratio(figures(o), m)
			if !ok || ratio == 0 {
				continue
			}
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/><text x="%.1f" y="%d" font-size="10">%.2f</text>`+"\n",
				labels, y, x(ratio)-labels, bar, c, x(ratio)+4, y+bar-1, ratio)
			y += bar + 1
		}
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
