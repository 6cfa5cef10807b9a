package imagepage

import (
	"bytes"
	"encoding/xml"
	"io"
	"math"
	"slices"
	"strings"
	"testing"

	"ukl/internal/kernel/kconfig"
	"ukl/internal/pin/pins"
	"ukl/internal/report/sizes"
)

func sections() []sizes.Section {
	return []sizes.Section{
		{
			Part: sizes.Part{Name: ".text", Size: 1 << 20}, Kind: sizes.Code,
			Symbols: []sizes.Part{{Name: "operator<<(a&)", Size: 600_000}, {Name: "main", Size: 200_000}},
		},
		{
			Part: sizes.Part{Name: ".rodata", Size: 300_000}, Kind: sizes.Constants,
			Symbols: []sizes.Part{{Name: "table", Size: 300_000}},
		},
		{Part: sizes.Part{Name: ".data", Size: 4096}, Kind: sizes.Data},
		{Part: sizes.Part{Name: ".bss", Size: 65_536}, Kind: sizes.Zeros},
	}
}

const log = "[    0.000000] Linux version 6.1 <x>\r\nno stamp\n[    0.010000] one & two\n[    0.250000] ring0: \"app\"\n[    0.250000] again\n[    0.100000] another boot\n"

func image() Image {
	p := Program{Sections: sections()}
	p.Size, p.SHA256 = 123_456, "abc"
	return Image{
		App: "<b>it's", Version: "1", BzImage: sizes.File{Size: 99}, Kernel: p, Program: p, Calls: []string{"ring0_gate"},
		Source: "hash",
		Config: []kconfig.Option{{Line: "CONFIG_X=y", Reason: "because"}}, Patches: []string{"0001-x.patch"},
		Pins: []pins.Pin{{Name: "gcc-12", Version: "1", Size: 7, SHA256: "def", Groups: []string{"tools"}}},
		Boot: Moments(log), Log: "a log",
	}
}

// parse reads XML to its end and returns how often each element and each title's text occurs.
func parse(t *testing.T, text []byte) (elements map[string]int, titles []string) {
	t.Helper()
	elements = map[string]int{}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Entity = xml.HTMLEntity
	inTitle := false
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return elements, titles
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		switch e := tok.(type) {
		case xml.StartElement:
			elements[e.Name.Local]++
			inTitle = e.Name.Local == "title"
			for _, a := range e.Attr {
				if l := strings.ToLower(a.Value); a.Name.Local == "src" || a.Name.Local == "href" ||
					strings.HasPrefix(a.Name.Local, "on") || strings.Contains(l, "url(") {
					t.Errorf("<%s %s=%q>: the page needs something else than itself", e.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			if inTitle {
				titles = append(titles, string(e))
			}
		case xml.EndElement:
			inTitle = false
		}
	}
}

func TestHTML(t *testing.T) {
	text, err := image().HTML()
	if err != nil {
		t.Fatal(err)
	}
	elements, titles := parse(t, text)
	// two maps of 4 sections, whose symbols and rests are 3 and 1; two steps of a boot
	if elements["script"]+elements["link"]+elements["img"] != 0 || elements["svg"] != 3 ||
		elements["rect"] != 2*(4+3+1)+2 {
		t.Errorf("elements: %v", elements)
	}
	all := strings.Join(titles, "\n")
	for _, want := range []string{
		"<b>it's: a unikernel", "operator<<(a&): 600\u202f000 bytes, 57.2 % of .text",
		".bss: 65\u202f536 bytes", "240 ms, until at 250 ms: ring0: \"app\"", "without a symbol: 248\u202f576",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no title %q in\n%s", want, all)
		}
	}
	for _, want := range []string{
		"CONFIG_X=y</td><td>because", "0001-x.patch", "gcc-12</td><td>1</td><td>tools",
		"<code>ring0_gate</code>", "4 steps in a log", "0.250000",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q on the page", want)
		}
	}
	if again, _ := image().HTML(); !bytes.Equal(text, again) {
		t.Error("equal images, different pages")
	}
	none := image()
	none.Boot, none.Calls = nil, nil
	if text, err := none.HTML(); err != nil || !strings.Contains(string(text), "No boot was recorded") ||
		!strings.Contains(string(text), "<code>syscall</code>") {
		t.Errorf("without a boot: %v", err)
	}
}

func TestSVG(t *testing.T) {
	elements, titles := parse(t, image().SVG())
	if elements["svg"] != 3 || elements["rect"] != 2*(4+3+1) || len(titles) != elements["rect"] {
		t.Errorf("elements: %v", elements)
	}
}

// The tiles cover the rectangle, each by its share, and none is a needle where that can be avoided.
func TestSquarify(t *testing.T) {
	var list []tile
	for _, n := range []uint64{6, 6, 4, 3, 2, 2, 1, 0} { // the example of the paper
		list = append(list, tile{size: n})
	}
	boxes := squarify(list, 10, 20, 6, 4)
	if len(boxes) != 7 {
		t.Fatalf("%d boxes", len(boxes))
	}
	area := 0.0
	for i, b := range boxes {
		area += b.w * b.h
		if math.Abs(b.w*b.h-float64(b.size)) > 1e-9 || b.x < 10-1e-9 || b.y < 20-1e-9 || b.x+b.w > 16+1e-9 ||
			b.y+b.h > 24+1e-9 {
			t.Errorf("box %d: %+v", i, b)
		}
		if r := max(b.w/b.h, b.h/b.w); r > 3 {
			t.Errorf("box %d is %.1f times as long as wide", i, r)
		}
		for _, other := range boxes[:i] {
			if b.x < other.x+other.w-1e-9 && other.x < b.x+b.w-1e-9 && b.y < other.y+other.h-1e-9 && other.y < b.y+b.h-1e-9 {
				t.Errorf("box %d lies on another", i)
			}
		}
	}
	if math.Abs(area-24) > 1e-9 {
		t.Errorf("they cover %g of 24", area)
	}
	if got := squarify([]tile{{size: 0}}, 0, 0, 1, 1); len(got) != 0 {
		t.Errorf("nothing has a place: %v", got)
	}
}

func TestMoments(t *testing.T) {
	got := Moments(log)
	if len(got) != 4 || got[1] != (Moment{0.01, "one & two"}) || got[3].Text != "again" {
		t.Errorf("Moments = %v", got)
	}
	if s := steps(got); len(s) != 2 || s[1].text != "ring0: \"app\"" {
		t.Errorf("steps = %+v", s)
	}
	if timeline(nil) != "" || timeline(got[:1]) != "" {
		t.Error("a boot without steps was drawn")
	}
}

func FuzzMoments(f *testing.F) {
	f.Add(log)
	f.Add("[1e9] x\n[-1] y\n[NaN] z\n[ 0.1] \xff\x01\n[0.2] b")
	f.Fuzz(func(t *testing.T, log string) {
		moments := Moments(log)
		for i, m := range moments {
			if math.IsNaN(m.At) || i > 0 && m.At < moments[i-1].At {
				t.Errorf("%v", moments)
			}
		}
		i := image()
		i.Boot = moments
		if _, err := i.HTML(); err != nil {
			t.Error(err)
		}
	})
}

func TestFamilies(t *testing.T) {
	got := families([]sizes.Part{
		{Name: "tcp_a", Size: 5},
		{Name: "__tcp_b", Size: 6},
		{Name: "udp_a", Size: 7},
		{Name: "main", Size: 1},
	})
	want := []sizes.Part{{Name: "tcp_… (2)", Size: 11}, {Name: "udp_… (1)", Size: 7}, {Name: "main_… (1)", Size: 1}}
	if !slices.Equal(got, want) {
		t.Errorf("families = %v", got)
	}
}
