package image

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/pin/facts"
	"ukl/internal/pin/pins"
	"ukl/internal/report/linked"
	"ukl/internal/report/sbom"
	"ukl/nixexprs"
)

// recorded is what a link left of an application with packages = ["cmake", "zlib1g-dev", "libown-dev"]: cmake is a tool
// only, a part of zlib and all of libown are linked.
const recorded = `794 app-own/objects/main.c.o
1571 glibc/lib/crt1.o
1576 glibc/lib/libc.a(printf.o)
373 /usr/lib/gcc/x86_64-linux-gnu/12/crtbeginT.o
5183 /usr/lib/gcc/x86_64-linux-gnu/12/libgcc.a(addtf3.o)
3822 /usr/lib/x86_64-linux-gnu/libz.a(crc32.o)
0 /usr/lib/x86_64-linux-gnu/libz.a(zutil.o)
7 /usr/lib/x86_64-linux-gnu/libown.a(a.o)
8 /usr/lib/x86_64-linux-gnu/libown.a(b.o)
`

// inventory lists what an application was made of, of which a link left a list; none if that is "".
func inventory(t *testing.T, list string, a apps.App) *materials {
	t.Helper()
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	self, err := os.Executable() // any ELF file
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "app")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	if list != "" {
		if err := os.WriteFile(filepath.Join(dir, linkedFile), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	own := func(name string) pins.Pin {
		return pins.Pin{
			Name: name, Version: "1-1", Path: "pool/main/x/" + name + "_1-1_amd64.deb",
			SHA256: strings.Repeat(name[:1], 64),
		}
	}
	set := facts.NewSet()
	set.Merge(facts.Tools())
	add := func(p pins.Pin, f facts.Facts) pins.Pin {
		f.Source, f.SourceVersion = strings.TrimSuffix(p.Name, "-dev"), p.Version
		set.Packages[p.SHA256] = f
		return p
	}
	m := &materials{app: a, lock: lock, facts: set, parts: map[string]*taken{}}
	m.all = append(append(lock.ImagePins(), lock.Asked(a.Certificates, a.TimeZones)...),
		add(own("cmake"), facts.Facts{License: "BSD-3-Clause"}),
		add(own("libown-dev"), facts.Facts{License: "MIT", Archives: map[string]int{"usr/lib/x86_64-linux-gnu/libown.a": 2}}),
		add(own("unused-dev"), facts.Facts{
			License:  "MIT",
			Archives: map[string]int{"usr/lib/x86_64-linux-gnu/libunused.a": 2},
		}))
	if err := m.look(program); err != nil {
		t.Fatal(err)
	}
	// The program is this test, of Go: what its debugging information and build information say is another test's.
	m.contents = linked.Contents{}
	m.known = list != ""
	for name, taken := range m.parts {
		if !taken.objects {
			delete(m.parts, name)
		}
	}
	if err := m.list(program); err != nil {
		t.Fatal(err)
	}
	return m
}

func compiled() apps.App {
	return apps.App{Manifest: &manifest.Manifest{Name: "own"}, Files: fstest.MapFS{}}
}

func (m *materials) component(t *testing.T, name string) sbom.Component {
	t.Helper()
	i := slices.IndexFunc(m.components, func(c sbom.Component) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no %s among the components", name)
	}
	return m.components[i]
}

// A package that is only a tool, one that is linked, and one of which a part is.
func TestMaterials(t *testing.T) {
	m := inventory(t, recorded, compiled())
	for name, want := range map[string]struct {
		role  sbom.Role
		whole bool
		parts string
	}{
		"cmake":            {sbom.Tool, false, ""},
		"unused-dev":       {sbom.Tool, false, ""},
		"gcc-12":           {sbom.Tool, false, ""},
		"libc6-dev":        {sbom.Tool, false, ""},
		"libstdc++-12-dev": {sbom.Tool, false, ""},
		"libown-dev":       {sbom.Linked, true, "usr/lib/x86_64-linux-gnu/libown.a: 2 of 2 members, 15 bytes: a.o b.o"},
		"zlib1g-dev": {
			sbom.Linked, false,
			"usr/lib/x86_64-linux-gnu/libz.a: 2 of 15 members, 3822 bytes: crc32.o zutil.o",
		},
		"libgcc-12-dev": {
			sbom.Linked, false, "usr/lib/gcc/x86_64-linux-gnu/12/crtbeginT.o, 373 bytes\nusr/lib/gcc/x86_64-linux-gnu/12/libgcc.a: 1 of 251 members, 5183 bytes: addtf3.o",
		},
		"glibc-source":     {sbom.Source, false, "lib/crt1.o, 1571 bytes\nlib/libc.a: 1 members, 1576 bytes: printf.o"},
		"linux-source-6.1": {sbom.Source, false, ""},
		"own":              {sbom.Program, false, ""},
	} {
		c := m.component(t, name)
		var parts []string
		for _, p := range c.Parts {
			parts = append(parts, p.String())
		}
		if c.Role != want.role || c.Whole != want.whole || strings.Join(parts, "\n") != want.parts {
			t.Errorf("%s: %s, whole %v\n%s", name, c.Role, c.Whole, strings.Join(parts, "\n"))
		}
	}
}

// Certificates and time zones are listed, with their sources, if the application asks for them, the locale always.
func TestMaterialsData(t *testing.T) {
	for _, asked := range []bool{false, true} {
		a := compiled()
		a.Certificates = asked
		m := inventory(t, recorded, a)
		for name, want := range map[string]bool{"ca-certificates": asked, "tzdata": false} {
			i := slices.IndexFunc(m.components, func(c sbom.Component) bool { return c.Name == name })
			if (i >= 0) != want {
				t.Errorf("asked %v: %s is listed: %v", asked, name, i >= 0)
			}
			if i >= 0 && (m.components[i].Role != sbom.Data || m.components[i].Source != name ||
				m.components[i].License.Declared == "") {
				t.Errorf("%s: %+v", name, m.components[i])
			}
		}
	}
	if c := inventory(t, recorded, compiled()).component(t, pins.Locale); c.Role != sbom.Data {
		t.Errorf("the role of %s is %s", pins.Locale, c.Role)
	}
}

// Kernel and libc have the patches of their series, with what each is about; each component of Debian has who maintains
// it and a licence.
func TestMaterialsPedigree(t *testing.T) {
	m := inventory(t, recorded, compiled())
	for name, want := range map[string]struct{ dir, license, concluded string }{
		"linux-source-6.1": {"linux", "GPL-2.0-only", "GPL-2.0-only WITH Linux-syscall-note"},
		"glibc-source":     {"glibc", "LGPL-2.1-or-later", "LGPL-2.1-or-later"},
	} {
		c := m.component(t, name)
		files, err := nixexprs.FS.ReadDir(want.dir + "/patches")
		if err != nil {
			t.Fatal(err)
		}
		patches := slices.DeleteFunc(files, func(f os.DirEntry) bool { return !strings.HasSuffix(f.Name(), ".patch") })
		if len(c.Patches) != len(patches) || len(patches) == 0 {
			t.Fatalf("%s has %d patches of %d", name, len(c.Patches), len(patches))
		}
		for i, p := range c.Patches {
			if p.File != "nixexprs/"+want.dir+"/patches/"+patches[i].Name() || p.License != want.license || len(p.SHA1) != 40 ||
				!strings.Contains(p.Subject, ": ") && !strings.Contains(p.Subject, " ") || strings.HasPrefix(p.Subject, "[") {
				t.Errorf("%+v", p)
			}
		}
		if c.License.Concluded != want.concluded {
			t.Errorf("%s: %+v", name, c.License)
		}
	}
	for _, c := range m.components {
		if c.Package != "" && !slices.Contains([]string{"cmake", "libown-dev", "unused-dev"}, c.Name) &&
			(c.Supplier == "" || c.License.Declared == "") {
			t.Errorf("%s: supplier %q, licence %q", c.Name, c.Supplier, c.License.Declared)
		}
	}
}

// Without a list of a link, everything that a linker could have taken may be in the program, and nothing else.
func TestMaterialsUnknown(t *testing.T) {
	m := inventory(t, "", compiled())
	for name, want := range map[string]sbom.Role{
		"cmake": sbom.Tool, "gcc-12": sbom.Tool, "libown-dev": sbom.Possible, "libgcc-12-dev": sbom.Possible,
		"libc6-dev": sbom.Possible,
	} {
		if c := m.component(t, name); c.Role != want {
			t.Errorf("%s: %s, want %s", name, c.Role, want)
		}
	}
	if slices.ContainsFunc(m.components, func(c sbom.Component) bool { return c.Name == "glibc-source" }) {
		t.Error("ukl's libc is in a program that was linked elsewhere")
	}
}

// A finished program was made on another machine: no package of the tools can be in it. The locale is a file beside it.
func TestMaterialsFinished(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := inventory(t, "", apps.App{Manifest: &manifest.Manifest{Name: "x"}, Program: self, Files: fstest.MapFS{}})
	for _, c := range m.components {
		if c.Role != sbom.Tool && c.Role != sbom.Program && c.Name != "linux-source-6.1" && c.Name != pins.Locale {
			t.Errorf("%s: %s", c.Name, c.Role)
		}
	}
}

// A library that no pinned package has is from nobody knows where.
func TestMaterialsForeign(t *testing.T) {
	m := &materials{
		app: apps.App{Manifest: &manifest.Manifest{}, Program: "x"}, facts: facts.NewSet(),
		parts: map[string]*taken{},
	}
	var err error
	if m.lock, err = pins.Load(nixexprs.FS); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "app")); err != nil {
		t.Fatal(err)
	}
	for list, known := range map[string]bool{"1 /usr/lib/libforeign.a(x.o)\n": false, "1 /build/obj/own.o\n": true} {
		if err := os.WriteFile(filepath.Join(dir, linkedFile), []byte(list), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.look(filepath.Join(dir, "app")); err != nil || m.known != known && !m.contents.Complete {
			t.Errorf("%s: known %v, %v", list, m.known, err)
		}
	}
}

// An archive has the version that its name says; a program of Go or Rust the version that its compiler wrote into it.
func TestMaterialsVersions(t *testing.T) {
	m := inventory(t, recorded, compiled())
	own := pins.Own{Archive: &pins.Archive{URL: "https://example.org/x-1.2.tar.gz", SHA256: strings.Repeat("ab", 32)}}
	m.all, m.components = own.All(), nil
	m.contents.Modules = []linked.Module{
		{Name: "example.org/own", Version: "v1.5.0", Sum: "h1:x", Language: linked.Go, Main: true},
		{Name: "example.org/dep", Version: "v1.6.0", Language: linked.Go, Public: true},
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.list(self); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"x-1.2.tar.gz": "1.2", "own": "v1.5.0", "example.org/dep": "v1.6.0"} {
		if c := m.component(t, name); c.Version != want {
			t.Errorf("%s: version %q, want %q", name, c.Version, want)
		}
	}
	if c := m.component(t, "x-1.2.tar.gz"); !c.Archive || c.Role != sbom.Source || c.Location == "" {
		t.Errorf("%+v", c)
	}
}

func TestSubject(t *testing.T) {
	for text, want := range map[string]string{
		"From: x\nSubject: [PATCH 1/2] x86: Say two, in a\n subject that is long\nDate: y\n\nbody\nSubject: no\n": "x86: Say two, in a subject that is long",
		"Subject: libc: Do it\n\n": "libc: Do it", "--- a/x\n+++ b/x\n": "0001.patch",
	} {
		if got := subject(text, "0001.patch"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// The texts that are quoted are those of what is in the image. Of another one a list says where it is.
func TestQuotedTexts(t *testing.T) {
	m := inventory(t, recorded, compiled())
	keys := m.texts()
	if len(keys) == 0 {
		t.Fatal("no texts")
	}
	texts := map[string]string{}
	for _, key := range keys {
		texts[key] = "text " + key
	}
	m.quote(texts)
	gcc, tool := m.component(t, "libgcc-12-dev"), m.component(t, "gcc-12")
	const ref = "LicenseRef-Debian-gcc-12-copyright"
	if text := gcc.License.Texts[ref]; !strings.HasPrefix(text, "text ") || tool.License.Texts[ref] != text {
		t.Errorf("%v, %v", gcc.License.Texts, tool.License.Texts)
	}
	const want = "It is in the copyright file of the packages of m4 1.4.19-3, and not quoted here."
	if got := m.component(t, "m4").License.Texts["LicenseRef-Debian-m4-copyright"]; got != want {
		t.Errorf("%q", got)
	}
	if gcc.License.Declared != tool.License.Declared || gcc.License.Declared == "" {
		t.Errorf("%s, %s", gcc.License.Declared, tool.License.Declared)
	}
}
