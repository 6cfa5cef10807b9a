// Package imagepage draws an image: one HTML page, or an SVG for a paper, that shows what is in it, how large it is,
// and how it boots. A page needs nothing but itself: no script, no font, no picture from elsewhere. Equal images give
// equal pages.
package imagepage

import (
	"bytes"
	_ "embed"
	"html/template"
	"strconv"
	"strings"

	"ukl/internal/kernel/kconfig"
	"ukl/internal/pin/pins"
	"ukl/internal/report/sizes"
)

// Image is what a page shows.
type Image struct {
	App     string
	Version string // of ukl
	BzImage sizes.File
	Kernel  Program
	Program Program
	Calls   []string // functions of the kernel that the program calls by name
	Config  []kconfig.Option
	Patches []string
	Pins    []pins.Pin
	Source  string // hash of the expressions and the lock
	// Boot is the log of a boot, and Log where it is from; both may be empty.
	Boot []Moment
	Log  string
}

// Program is an ELF file.
type Program struct {
	sizes.File
	Sections []sizes.Section
}

// Bytes is what the program's sections take in memory.
func (p Program) Bytes() uint64 {
	var n uint64
	for _, s := range p.Sections {
		n += s.Size
	}
	return n
}

//go:embed page.html
var page string

//go:embed style.css
var style string

// HTML is the page.
func (i Image) HTML() ([]byte, error) {
	t, err := template.New("page").Funcs(template.FuncMap{
		"bytes":    func(n uint64) string { return thousands(n) },
		"size":     func(n int64) string { return thousands(uint64(max(n, 0))) },
		"treemap":  func(title string, p Program) template.HTML { return template.HTML(treemap(title, p.Sections)) },
		"timeline": func(m []Moment) template.HTML { return template.HTML(timeline(m)) },
		"seconds":  seconds,
		"last":     func(m []Moment) float64 { return m[len(m)-1].At },
		"style":    func() template.CSS { return template.CSS(style) },
		"kinds":    kinds,
		"join":     func(s []string) string { return strings.Join(s, ", ") },
		"groups":   func(p pins.Pin) string { return strings.Join(p.Groups, ", ") },
	}).Parse(page)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, i)
	return b.Bytes(), err
}

// SVG is both treemaps, the program's above the kernel's, as one drawing.
func (i Image) SVG() []byte {
	var b bytes.Buffer
	const gap = 30
	head := `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 `
	b.WriteString(head + "1000 " + strconv.Itoa(2*(mapHeight+gap)) + `">` + "\n<style>\n" + style + "</style>\n")
	for n, part := range []struct {
		title string
		p     Program
	}{{i.App + ": the application", i.Program}, {"the kernel, with the application in it", i.Kernel}} {
		y := n * (mapHeight + gap)
		b.WriteString(`<text x="2" y="` + strconv.Itoa(y+19) + `" class="title">` + escape(part.title) + ", " +
			thousands(part.p.Bytes()) + " bytes in memory</text>\n")
		inner := treemap(part.title, part.p.Sections)
		b.WriteString(strings.Replace(inner, "<svg ",
			`<svg x="0" y="`+strconv.Itoa(y+gap-4)+`" width="1000" height="`+strconv.Itoa(mapHeight)+`" `, 1))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
