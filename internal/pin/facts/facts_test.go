package facts

import (
	"archive/tar"
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func arMember(name string, body []byte) []byte {
	b := append(fmt.Appendf(nil, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(body)), body...)
	if len(body)%2 == 1 {
		b = append(b, '\n')
	}
	return b
}

func ar(members ...[]byte) []byte { return append([]byte(arMagic), bytes.Join(members, nil)...) }

// entry is a file of a tar archive; one with a link is a symbolic link.
type entry struct{ name, body, link string }

func tarOf(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: 0o644, Size: int64(len(e.body)), Typeflag: tar.TypeReg}
		if e.link != "" {
			h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func packed(t *testing.T, control string, data ...entry) []byte {
	t.Helper()
	return ar(arMember("debian-binary", []byte("2.0\n")),
		arMember("control.tar", tarOf(t, entry{name: "./md5sums"}, entry{name: "./control", body: control})),
		arMember("data.tar", tarOf(t, data...)))
}

const controlFile = "Package: libx-dev\nSource: x (1:1.0-1)\nVersion: 1:1.0-1+b2\nMaintainer: Some Body <body@example.org>\nHomepage: http://x.example.org/\nDescription: x\n"

func TestAdd(t *testing.T) {
	library := string(ar(arMember("/", []byte("index!")), arMember("//", []byte("names")), arMember("a.o/", []byte("odd")),
		arMember("b.o/", nil)))
	deb := packed(t, controlFile,
		entry{
			name: "./usr/share/doc/libx-dev/copyright",
			body: machine + "Files: *\nLicense: own\n\nLicense: own\n Take it.\n",
		},
		entry{name: "./lib/x86_64-linux-gnu/libx.a", body: library},
		entry{name: "./usr/lib/libm.a", body: "/* GNU ld script */"},
		entry{name: "./usr/lib/liby.a", link: "libx.a"}, entry{name: "./usr/lib/crt1.o"}, entry{name: "./usr/include/z.h"},
		entry{name: "./usr/include/a.h"},
		entry{name: "./usr/bin/tool"})
	s := NewSet()
	if err := s.Add("libx-dev", "sum", bytes.NewReader(deb)); err != nil {
		t.Fatal(err)
	}
	key := textKey("Take it.")
	want := Facts{
		Source: "x", SourceVersion: "1:1.0-1", Maintainer: "Some Body <body@example.org>", Homepage: "http://x.example.org/",
		License: "LicenseRef-Debian-x-own", Refs: map[string]string{"LicenseRef-Debian-x-own": key},
		Archives: map[string]int{"usr/lib/x86_64-linux-gnu/libx.a": 2, "usr/lib/libm.a": 0, "usr/lib/liby.a": 0},
		Objects:  []string{"usr/lib/crt1.o"}, Headers: []string{"usr/include/a.h", "usr/include/z.h"},
	}
	if got := s.Packages["sum"]; !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if s.Texts[key] != "Take it." {
		t.Errorf("%q", s.Texts)
	}
	again, err := Parse(s.Format())
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("what was written reads %+v, %v", again, err)
	}
	s.Only([]string{"other"})
	if len(s.Packages)+len(s.Texts) != 0 {
		t.Errorf("%+v", s)
	}
}

// A package may have the copyright file of another: its directory is a link to that one's, or the file is.
func TestCopied(t *testing.T) {
	for name, e := range map[string]entry{
		"directory": {name: "./usr/share/doc/libx-dev", link: "libx1"},
		"file":      {name: "./usr/share/doc/libx-dev/copyright", link: "../libx1/copyright"},
	} {
		s := NewSet()
		if err := s.Add("libx-dev", "sum", bytes.NewReader(packed(t, controlFile, e))); err != nil {
			t.Fatal(err)
		}
		if f := s.Packages["sum"]; f.Copied != "libx1" || f.License != "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

// A source package of the same name and version need not be named.
func TestOwnSource(t *testing.T) {
	s := NewSet()
	if err := s.Add("x", "sum", bytes.NewReader(packed(t, "Package: x\nVersion: 1-1\nMaintainer: x\n"))); err != nil {
		t.Fatal(err)
	}
	if f := s.Packages["sum"]; f.Source != "x" || f.SourceVersion != "1-1" {
		t.Errorf("%+v", f)
	}
}

func TestBroken(t *testing.T) {
	for name, c := range map[string]struct {
		deb []byte
		why string
	}{
		"empty":      {nil, "not an ar archive"},
		"no control": {ar(arMember("debian-binary", []byte("2.0\n")), arMember("data.tar", nil)), "no control member"},
		"no version": {packed(t, "Package: x\n"), "no version"},
		"cut archive": {
			packed(t, controlFile,
				entry{name: "./usr/lib/libx.a", body: string(ar(arMember("a.o/", []byte("body"))))[:40]}),
			"ends inside a header",
		},
	} {
		if err := NewSet().Add("x", "sum", bytes.NewReader(c.deb)); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: %v, want %q", name, err, c.why)
		}
	}
}

func FuzzAdd(f *testing.F) {
	f.Add([]byte(arMagic))
	f.Fuzz(func(_ *testing.T, deb []byte) {
		_ = NewSet().Add("x", "sum", bytes.NewReader(deb)) // must end, and not in a panic
	})
}
