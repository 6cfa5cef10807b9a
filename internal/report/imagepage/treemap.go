package imagepage

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
	"unicode/utf8"

	"ukl/internal/report/sizes"
)

// tile is a rectangle's worth of bytes.
type tile struct {
	name  string
	size  uint64
	note  string // what else its hover text says
	class string // of its colour
	parts []tile
}

// box is a tile with its place.
type box struct {
	x, y, w, h float64
	tile
}

// shownSymbols is how many of a section's symbols have tiles of their own.
const shownSymbols = 120

// severalSymbols are so many that a section is shown by the families of their names.
const severalSymbols = 1500

// families puts symbols together whose names begin alike, as those of one subsystem of a kernel do: tcp_sendmsg and
// __tcp_push are tcp_…. The largest come first.
func families(symbols []sizes.Part) []sizes.Part {
	size, count := map[string]uint64{}, map[string]int{}
	for _, p := range symbols {
		family, _, _ := strings.Cut(strings.TrimLeft(p.Name, "_"), "_")
		size[family] += p.Size
		count[family]++
	}
	var all []sizes.Part
	for family, n := range size {
		all = append(all, sizes.Part{Name: fmt.Sprintf("%s_… (%d)", family, count[family]), Size: n})
	}
	slices.SortFunc(all, func(a, b sizes.Part) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size),
			cmp.Compare(a.Name, b.Name))
	})
	return all
}

// tiles are a program's sections with their largest symbols; what is left of a section is one tile.
func tiles(sections []sizes.Section) []tile {
	var all []tile
	for _, s := range sections {
		t := tile{name: s.Name, size: s.Size, class: s.Kind, note: kinds()[s.Kind]}
		symbols, what := s.Symbols, "symbols"
		if len(symbols) > severalSymbols {
			symbols, what = families(symbols), "kinds of symbols"
		}
		add := func(name string, size uint64, class string) {
			if size > 0 {
				t.parts = append(t.parts, tile{name: name, size: size, class: class, note: "of " + s.Name})
			}
		}
		shown := min(len(symbols), shownSymbols)
		rest, smaller := s.Size, uint64(0) // symbols of a section do not overlap: see sizes.Map
		for i, p := range symbols {
			if rest -= p.Size; i < shown {
				add(p.Name, p.Size, s.Kind)
			} else {
				smaller += p.Size
			}
		}
		add(fmt.Sprintf("%d smaller %s", len(symbols)-shown, what), smaller, s.Kind+" rest")
		if len(symbols) > 0 {
			add("without a symbol", rest, s.Kind+" rest")
		}
		all = append(all, t)
	}
	return all
}

// kinds are what the colours mean.
func kinds() map[string]string {
	return map[string]string{
		sizes.Code: "code", sizes.Constants: "constants", sizes.Data: "data",
		sizes.Zeros: "zeros: in memory only, not in the file",
	}
}

// squarify divides a rectangle among tiles so that each is about as wide as high: rows are filled along the shorter
// side for as long as that improves the worst of them (Bruls, Huizing, van Wijk: Squarified Treemaps, 2000).
func squarify(tiles []tile, x, y, w, h float64) []box {
	tiles = slices.DeleteFunc(slices.Clone(tiles), func(t tile) bool { return t.size == 0 })
	slices.SortStableFunc(tiles, func(a, b tile) int { return cmp.Compare(b.size, a.size) })
	var total uint64
	for _, t := range tiles {
		total += t.size
	}
	var boxes []box
	for len(tiles) > 0 && w > 0 && h > 0 {
		area := w * h / float64(total)
		side := min(w, h)
		n, sum, worst := 0, 0.0, 0.0
		for n < len(tiles) {
			next := sum + float64(tiles[n].size)*area
			ratio := ratio(float64(tiles[0].size)*area, float64(tiles[n].size)*area, next, side)
			if n > 0 && ratio > worst {
				break
			}
			n, sum, worst = n+1, next, ratio
		}
		thick, at := sum/side, 0.0
		for _, t := range tiles[:n] {
			long := float64(t.size) * area / thick
			if w >= h {
				boxes = append(boxes, box{x, y + at, thick, long, t})
			} else {
				boxes = append(boxes, box{x + at, y, long, thick, t})
			}
			at += long
			total -= t.size
		}
		if w >= h {
			x, w = x+thick, w-thick
		} else {
			y, h = y+thick, h-thick
		}
		tiles = tiles[n:]
	}
	return boxes
}

// ratio is how far the worst rectangle of a row is from a square: largest and smallest are areas of the row, which has
// the area sum.
func ratio(largest, smallest, sum, side float64) float64 {
	s := side * side
	return max(s*largest/(sum*sum), sum*sum/(s*smallest))
}

// Sizes of a treemap, in SVG's units.
const (
	mapWidth, mapHeight = 1000, 460
	caption             = 15  // height of a section's name above its symbols
	letter              = 6.2 // about the width of one in a text
)

// treemap draws sections and symbols as SVG.
func treemap(title string, sections []sizes.Section) string {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s" class="map">`+
		"\n", mapWidth, mapHeight, escape(title))
	var total uint64
	for _, s := range sections {
		total += s.Size
	}
	for _, s := range squarify(tiles(sections), 0, 0, mapWidth, mapHeight) {
		s.draw(&b, total, "section")
		if s.h < 2*caption || s.w < 30 {
			continue
		}
		s.label(&b, caption-4, "name")
		for _, p := range squarify(s.parts, s.x+1, s.y+caption, s.w-2, s.h-caption-1) {
			p.draw(&b, s.size, "symbol")
			if p.h >= 11 && p.w >= 24 {
				p.label(&b, min(p.h/2+3.5, 12), "")
			}
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (b box) draw(out *strings.Builder, whole uint64, class string) {
	fmt.Fprintf(out, `<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" class="%s %s"><title>%s: %s bytes, %.1f %%%s</title></rect>`+"\n",
		b.x, b.y, b.w, b.h, class, b.class, escape(b.name), thousands(b.size),
		100*float64(b.size)/float64(whole), escape(suffix(b.note)))
}

func suffix(note string) string {
	if note == "" || strings.HasPrefix(note, "of ") {
		return " " + note
	}
	return "; " + note
}

// label writes the name, or as much of it as there is room for.
func (b box) label(out *strings.Builder, down float64, class string) {
	text, room := b.name, int((b.w-6)/letter)
	if utf8.RuneCountInString(text) > room {
		if room < 4 {
			return
		}
		text = string([]rune(text)[:room-1]) + "…"
	}
	fmt.Fprintf(out, `<text x="%.2f" y="%.2f" class="%s">%s</text>`+"\n", b.x+3, b.y+down, class, escape(text))
}

// thousands groups digits: 1 234 567, with spaces that do not break.
func thousands(n uint64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func escape(s string) string { return html.EscapeString(strings.ToValidUTF8(s, "?")) }
