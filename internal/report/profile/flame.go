package profile

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
)

// Sizes of the graph, in SVG's units.
const (
	width    = 1200
	margin   = 10
	level    = 16 // the height of a call
	head     = 60
	letter   = 7    // the width of one, about
	thinnest = 0.15 // calls that are drawn
)

// colours of the parts.
var colours = map[Part]string{
	Application: "#f2a65a", Libc: "#f6d365", Kernel: "#7fb2e5", Idle: "#d5d8dc", Unknown: "#b9a6d3",
}

// SVG draws a flame graph (Gregg, "The Flame Graph", CACM 59(6), 2016): each call as wide as the instructions that it
// and its callees took, callees above their caller. Of two runs the first is drawn, and colours say where it took more
// (red) or less (blue) than the second.
func (r *Report) SVG(w io.Writer) error {
	p := r.Profiles[0]
	g := graph{p: p, unit: float64(width-2*margin) / max(float64(p.Instructions), 1)}
	if len(r.Profiles) > 1 {
		g.other = r.Profiles[1]
	}
	height := head + level*(g.depth(p.root)-1) + margin
	fmt.Fprintf(&g.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+
		"\n", width, height)
	fmt.Fprintf(&g.b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	fmt.Fprintf(&g.b, `<text x="%d" y="20" font-size="15">%s, mode %s: %s instructions%s</text>`+"\n", margin,
		escape(r.Application), p.Mode, number(float64(p.Instructions)/p.Per()), escape(r.between()))
	g.legend()
	g.y = float64(height - margin)
	x := float64(margin)
	var other *call
	if g.other != nil {
		other = g.other.root
	}
	for _, c := range p.root.sorted() {
		g.draw(c, other.same(c), x, 1)
		x += float64(c.total) * g.unit
	}
	g.b.WriteString("</svg>\n")
	_, err := io.WriteString(w, g.b.String())
	return err
}

type graph struct {
	b     strings.Builder
	p     *Profile
	other *Profile // what it is compared with; nil is nothing
	unit  float64  // the width of an instruction
	y     float64  // of the ground
}

// depth is how many levels of calls are drawn, with the root.
func (g *graph) depth(c *call) int {
	deepest := 0
	for _, next := range c.calls {
		if float64(next.total)*g.unit >= thinnest {
			deepest = max(deepest, g.depth(next))
		}
	}
	return deepest + 1
}

func (g *graph) legend() {
	x := margin
	entry := func(colour, text string) {
		fmt.Fprintf(&g.b, `<rect x="%d" y="30" width="12" height="12" fill="%s"/><text x="%d" y="40">%s</text>`+"\n", x, colour,
			x+16, escape(text))
		x += 30 + letter*len(text)
	}
	if g.other != nil {
		entry(shade(1), "more than in mode "+g.other.Mode)
		entry(shade(-1), "less")
		return
	}
	for _, part := range Parts() {
		if g.p.Parts[part] > 0 {
			entry(colours[part], fmt.Sprintf("%s %s", part, percent(g.p.Parts[part], g.p.Instructions)))
		}
	}
}

// gates are the ways into the kernel that a program takes: one in each mode.
var gates = map[string]bool{
	"ring0_gate": true, "ring0_bypass": true, "entry_SYSCALL_64": true, "entry_SYSCALL_64_ring0": true,
}

// dispatcher looks a system call up by its number; the bypass does without.
var dispatcher = Function{"do_syscall_64", Kernel}

// same is the same call in another tree; nil is none. A system call is the same by whichever way it came.
func (c *call) same(as *call) *call {
	if c == nil {
		return nil
	}
	if same := c.calls[as.function]; same != nil {
		return same
	}
	if gates[as.function.Name] {
		for _, other := range c.sorted() {
			if gates[other.function.Name] {
				return other
			}
		}
	}
	if as.function == dispatcher {
		return c
	}
	if d := c.calls[dispatcher]; d != nil {
		return d.calls[as.function]
	}
	return nil
}

func (g *graph) draw(c, other *call, x float64, depth int) {
	wide := float64(c.total) * g.unit
	if wide < thinnest {
		return
	}
	y := g.y - float64(level*depth)
	colour, note := colours[c.part()], ""
	if g.other != nil {
		had := 0.0
		if other != nil {
			had = float64(other.total) / g.other.Per()
		}
		has := float64(c.total) / g.p.Per()
		colour = shade((has - had) / max(has, had))
		note = fmt.Sprintf("; %s in mode %s", number(had), g.other.Mode)
	}
	fmt.Fprintf(&g.b, `<g><title>%s (%s): %s instructions, %s%s</title><rect x="%.2f" y="%.0f" width="%.2f" height="%d" fill="%s" stroke="white" stroke-width="0.3"/>`,
		escape(c.function.Name), c.part(), number(float64(c.total)/g.p.Per()), percent(c.total, g.p.Instructions),
		escape(note), x, y, wide, level-1, colour)
	if room := int(wide-4) / letter; room > 2 {
		name := c.function.Name
		if len(name) > room {
			name = name[:room-1] + "…"
		}
		fmt.Fprintf(&g.b, `<text x="%.2f" y="%.0f">%s</text>`, x+2, y+level-5, escape(name))
	}
	g.b.WriteString("</g>\n")
	for _, next := range c.sorted() {
		g.draw(next, other.same(next), x, depth+1)
		x += float64(next.total) * g.unit
	}
}

// shade is the colour of a difference, from -1 (blue) to 1 (red).
func shade(d float64) string {
	fade := func(x float64) int { return int(math.Round(245 - 150*math.Min(math.Abs(x), 1))) }
	if d > 0 {
		return fmt.Sprintf("#f5%02x%02x", fade(d), fade(d))
	}
	return fmt.Sprintf("#%02x%02xf5", fade(d), fade(d))
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
