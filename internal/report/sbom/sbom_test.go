package sbom

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sample has a component of each role: a patched source, a package of which a part is linked, one that is linked as a
// whole, inline code, modules, something that nobody knows, data, and a package that is only a tool.
func sample() Image {
	h := strings.Repeat("ab", 32)
	return Image{Name: "my app", SHA256: h, Version: "1", LinkKnown: true, Components: []Component{
		{
			Name: "linux-source-6.1", Version: "6.1.176-1", SHA256: h, Role: Source,
			Package: "linux-source-6.1_6.1.176-1_all.deb",
			Source:  "linux", SourceVersion: "6.1.176-1", Supplier: "Debian Kernel Team <kernel@example.org>",
			License: License{
				Declared:  "GPL-2.0-only AND LicenseRef-Debian-linux-x",
				Concluded: "GPL-2.0-only WITH Linux-syscall-note", Texts: map[string]string{
					"LicenseRef-Debian-linux-x": "Take it.",
				},
			},
			Patches: []Patch{{"nixexprs/linux/patches/0001-x.patch", "x86: Say x", "GPL-2.0-only", h[:40], h}},
		},
		{
			Name: "zlib1g-dev", Version: "1:1.2.13.dfsg-1", SHA256: h, Role: Linked,
			Package: "zlib1g-dev_1.2.13.dfsg-1_amd64.deb",
			Source:  "zlib", SourceVersion: "1:1.2.13.dfsg-1", Supplier: "Some Body <body@example.org>",
			Homepage: "http://zlib.example.org/",
			License:  License{Declared: "Zlib"}, InProgram: true,
			Parts: []Part{{File: "usr/lib/libz.a", Members: []string{"crc32.o", "inflate.o"}, Of: 15, Bytes: 400}},
		},
		{
			Name: "libown-dev", Version: "1-1", SHA256: h, Role: Linked, Package: "libown-dev_1-1_amd64.deb", Source: "own",
			SourceVersion: "1-1",
			License: License{
				Declared: "LicenseRef-Debian-own-copyright",
				Texts:    map[string]string{"LicenseRef-Debian-own-copyright": "All of it."},
			},
			Parts: []Part{{File: "usr/lib/libown.a", Members: []string{"own.o"}, Of: 1}}, Whole: true, InProgram: true,
		},
		{
			Name: "libstdc++-12-dev", Version: "12.2.0-14+deb12u1", SHA256: h, Role: Inlined,
			Package: "libstdc++-12-dev_12.2.0-14+deb12u1_amd64.deb",
			Source:  "gcc-12", SourceVersion: "12.2.0-14+deb12u1", InProgram: true,
			Parts: []Part{{File: "usr/include/c++/12/vector", Header: true}},
		},
		{Name: "server", SHA256: h, Role: Program},
		{
			Name: "example.org/owner/module", Version: "v1.2.3", Sum: "h1:x", Role: Module, Module: "golang", Public: true,
			InProgram: true,
		},
		{Name: "stdlib", Version: "1.26.0", Role: Module, Module: "golang", Public: true, InProgram: true},
		{
			Name: "golang.org/x/sys", Version: "v0.30.0", Sum: "h1:y", Role: Module, Module: "golang", Public: true,
			InProgram: true,
		},
		{Name: "./local", Role: Module, Module: "golang", InProgram: true},
		{
			Name: "greeting-1.2.tar.gz", Version: "1.2", SHA256: h, Role: Source, Archive: true, InProgram: true,
			Location: "https://example.org/greeting-1.2.tar.gz?a=b",
		},
		{Name: "fork", Version: "1.0.0", Role: Module, Module: "cargo", InProgram: true},
		{
			Name: "libx-dev", Version: "1", SHA256: h, Role: Possible, Package: "libx-dev_1_amd64.deb", Source: "x",
			SourceVersion: "1", InProgram: true,
		},
		{
			Name: "tzdata", Version: "2026f-0+deb12u1", SHA256: h, Role: Data, Package: "tzdata_2026f-0+deb12u1_all.deb",
			Source: "tzdata", SourceVersion: "2026f-0+deb12u1",
		},
		{
			Name: "cmake", Version: "3.25.1-1", SHA256: h, Role: Tool, Package: "cmake_3.25.1-1_amd64.deb", Source: "cmake",
			SourceVersion: "3.25.1-1",
			License:       License{Declared: "BSD-3-Clause AND LicenseRef-Debian-cmake-y"},
		},
	}}
}

func decode(t *testing.T, v any) map[string]any {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestSPDX(t *testing.T) {
	m := decode(t, sample().SPDX())
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, list := range []string{"packages", "files"} {
		for _, p := range m[list].([]any) {
			id := p.(map[string]any)["SPDXID"].(string)
			if ids[id] || !regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`).MatchString(id) {
				t.Errorf("id %q is taken or none", id)
			}
			ids[id] = true
		}
	}
	var got []string
	for _, r := range m["relationships"].([]any) {
		r := r.(map[string]any)
		if !ids[r["spdxElementId"].(string)] || !ids[r["relatedSpdxElement"].(string)] {
			t.Errorf("%v relates what is not there", r)
		}
		short := strings.NewReplacer("SPDXRef-", "").Replace
		got = append(got, short(r["spdxElementId"].(string)+" "+r["relationshipType"].(string)+" "+
			r["relatedSpdxElement"].(string)))
	}
	want := []string{
		"DOCUMENT DESCRIBES image", "image GENERATED_FROM source-linux-source-6.1",
		"patch-source-linux-source-6.1-1 PATCH_APPLIED source-linux-source-6.1",
		"program-server STATIC_LINK linked-zlib1g-dev", "program-server STATIC_LINK linked-libown-dev",
		"program-server GENERATED_FROM inlined-libstdc---12-dev", "image CONTAINS program-server",
		"program-server CONTAINS module-example.org-owner-module", "program-server CONTAINS module-stdlib",
		"program-server CONTAINS module-golang.org-x-sys", "program-server CONTAINS module-.-local",
		"program-server GENERATED_FROM source-greeting-1.2.tar.gz", "program-server CONTAINS module-fork",
		"program-server OTHER possible-libx-dev", "data-tzdata RUNTIME_DEPENDENCY_OF image", "tool-cmake BUILD_TOOL_OF image",
	}
	if !slices.Equal(got, want) {
		t.Errorf("relationships\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each LicenseRef that is used has its text, and a tool's that has none is not used.
func TestSPDXTexts(t *testing.T) {
	m := decode(t, sample().SPDX())
	texts := map[string]bool{}
	for _, l := range m["hasExtractedLicensingInfos"].([]any) {
		texts[l.(map[string]any)["licenseId"].(string)] = true
	}
	for _, p := range m["packages"].([]any) {
		p := p.(map[string]any)
		for _, field := range []string{"licenseDeclared", "licenseConcluded"} {
			for _, w := range words(p[field].(string)) {
				if strings.HasPrefix(w, "LicenseRef-") && !texts[w] {
					t.Errorf("%v: %s has no text", p["name"], w)
				}
			}
		}
		if p["name"] == "cmake" && (p["licenseDeclared"] != unknown ||
			!strings.Contains(p["licenseComments"].(string), "BSD-3-Clause AND ")) {
			t.Errorf("%v", p)
		}
	}
	if len(texts) != 2 {
		t.Errorf("%v", texts)
	}
}

func components(m map[string]any) map[string]map[string]any {
	byName := map[string]map[string]any{}
	for _, c := range m["components"].([]any) {
		c := c.(map[string]any)
		byName[c["name"].(string)] = c
	}
	return byName
}

func properties(c map[string]any) string {
	var lines []string
	for _, p := range c["properties"].([]any) {
		p := p.(map[string]any)
		lines = append(lines, p["name"].(string)+"="+p["value"].(string))
	}
	return strings.Join(lines, "\n") + "\n"
}

// A tool is excluded and nothing depends on it; what is linked says how much of it is.
func TestCycloneDX(t *testing.T) {
	m := decode(t, sample().CycloneDX())
	if s := m["serialNumber"].(string); !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(s) {
		t.Errorf("serial number %q", s)
	}
	c := components(m)
	for name, want := range map[string]struct{ scope, purl, cpe, property string }{
		"zlib1g-dev": {
			"required", "pkg:deb/debian/zlib1g-dev@1%3A1.2.13.dfsg-1?arch=amd64&distro=debian-12&upstream=zlib",
			"cpe:2.3:a:zlib:zlib:1.2.13:*:*:*:*:*:*:*",
			"ukl:extent=part\nukl:part=usr/lib/libz.a: 2 of 15 members, 400 bytes: crc32.o inflate.o\n",
		},
		"libown-dev": {
			"required", "pkg:deb/debian/libown-dev@1-1?arch=amd64&distro=debian-12&upstream=own",
			"cpe:2.3:a:own:own:1:*:*:*:*:*:*:*",
			"ukl:extent=whole\nukl:part=usr/lib/libown.a: 1 of 1 members, 0 bytes: own.o\n",
		},
		"libstdc++-12-dev": {
			"required", "pkg:deb/debian/libstdc%2B%2B-12-dev@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12&upstream=gcc-12",
			"cpe:2.3:a:gnu:gcc:12.2.0:*:*:*:*:*:*:*", "ukl:part=usr/include/c++/12/vector: inline code\n",
		},
		"cmake": {
			"excluded", "pkg:deb/debian/cmake@3.25.1-1?arch=amd64&distro=debian-12",
			"cpe:2.3:a:cmake:cmake:3.25.1:*:*:*:*:*:*:*", "ukl:role=tool\nukl:cpe=candidate\n",
		},
		"libx-dev": {
			"optional", "pkg:deb/debian/libx-dev@1?arch=amd64&distro=debian-12&upstream=x",
			"cpe:2.3:a:x:x:1:*:*:*:*:*:*:*", "ukl:role=possible\n",
		},
		"example.org/owner/module": {
			"required", "pkg:golang/example.org/owner/module@v1.2.3", "cpe:2.3:a:owner:module:1.2.3:*:*:*:*:*:*:*",
			"ukl:go.sum=h1:x\n",
		},
		"stdlib": {
			"required", "pkg:golang/stdlib@1.26.0", "cpe:2.3:a:golang:go:1.26.0:*:*:*:*:*:*:*",
			"ukl:role=module\n",
		},
		"golang.org/x/sys": {
			"required", "pkg:golang/golang.org/x/sys@v0.30.0", "cpe:2.3:a:x:sys:0.30.0:*:*:*:*:*:*:*", "ukl:go.sum=h1:y\n",
		},
		"./local": {"required", "", "", "ukl:role=module\n"},
		"greeting-1.2.tar.gz": {
			"required", "pkg:generic/greeting@1.2?checksum=sha256:" + strings.Repeat("ab", 32) +
				"&download_url=https%3A%2F%2Fexample.org%2Fgreeting-1.2.tar.gz%3Fa%3Db", "", "ukl:role=source\n",
		},
		"fork": {"required", "", "cpe:2.3:a:fork:fork:1.0.0:*:*:*:*:*:*:*", "ukl:role=module\n"},
		"linux-source-6.1": {
			"required", "pkg:deb/debian/linux-source-6.1@6.1.176-1?arch=all&distro=debian-12&upstream=linux",
			"cpe:2.3:o:linux:linux_kernel:6.1.176:*:*:*:*:*:*:*", "ukl:role=source\n",
		},
		"server": {"required", "", "", "ukl:role=program\n"},
		"tzdata": {
			"required", "pkg:deb/debian/tzdata@2026f-0%2Bdeb12u1?arch=all&distro=debian-12",
			"cpe:2.3:a:tzdata:tzdata:2026f:*:*:*:*:*:*:*", "ukl:role=data\n",
		},
	} {
		text := func(key string) string { s, _ := c[name][key].(string); return s }
		if text("scope") != want.scope || text("purl") != want.purl || text("cpe") != want.cpe {
			t.Errorf("%s: %s %s %s", name, text("scope"), text("purl"), text("cpe"))
		}
		if got := properties(c[name]); !strings.Contains(got, want.property) {
			t.Errorf("%s: %s", name, got)
		}
	}
	on := map[string]int{}
	for _, d := range m["dependencies"].([]any) {
		d := d.(map[string]any)
		on[d["ref"].(string)] = len(d["dependsOn"].([]any))
	}
	if on["image"] != 3 || on["program-server"] != 10 {
		t.Errorf("dependencies: %v", on)
	}
	p := c["linux-source-6.1"]["pedigree"].(map[string]any)
	diff := p["patches"].([]any)[0].(map[string]any)["diff"].(map[string]any)
	if diff["url"] != "nixexprs/linux/patches/0001-x.patch" {
		t.Errorf("pedigree: %v", p)
	}
}

// What is known of Go's own modules by their names is in both lists; of another module nobody claims to know it.
func TestModules(t *testing.T) {
	spdx := map[string]map[string]any{}
	for _, p := range decode(t, sample().SPDX())["packages"].([]any) {
		p := p.(map[string]any)
		spdx[p["name"].(string)] = p
	}
	cyclone := components(decode(t, sample().CycloneDX()))
	for name, known := range map[string]bool{
		"stdlib": true, "golang.org/x/sys": true, "example.org/owner/module": false, "fork": false, "./local": false,
	} {
		supplier, license := unknown, unknown
		if known {
			supplier, license = "Organization: The Go Authors", "BSD-3-Clause"
		}
		if p := spdx[name]; p["supplier"] != supplier || p["licenseDeclared"] != license {
			t.Errorf("%s: %v", name, p)
		}
		if c := cyclone[name]; (c["supplier"] != nil) != known || (c["licenses"] != nil) != known {
			t.Errorf("%s: %v", name, c)
		}
	}
	for name, want := range map[string]string{
		"github.com/a/b/c/v2": "https://github.com/a/b", "example.org/a/b": "", "github.com/a": "",
	} {
		c := Component{Name: name, Module: "golang", Public: true}
		if got := c.known().Homepage; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestRelease(t *testing.T) {
	for _, test := range []struct{ file, address, name, version string }{
		{"zlib-1.3.1.tar.gz", "", "zlib", "1.3.1"},
		{"tinyproxy_1.11.1.orig.tar.gz", "", "tinyproxy", "1.11.1"},
		{"sqlite-autoconf-3450100.tgz", "", "sqlite-autoconf", "3450100"},
		{"foo-2.0-rc1.zip", "", "foo", "2.0-rc1"},
		{"lib-x11-v7.tar.xz", "", "lib-x11", "7"},
		{"v1.2.tar.gz", "https://host.example/owner/repo/archive/refs/tags/v1.2.tar.gz", "repo", "1.2"},
		{"v1.2.tar.gz", "https://host.example/owner/repo/-/archive/v1.2/v1.2.tar.gz", "repo", "1.2"},
		{"v1.2.tar.gz", "https://host.example/v1.2.tar.gz", "v1.2.tar.gz", "1.2"},
		{"master.tar.gz", "", "master", ""},
		{"source.bin", "", "source.bin", ""},
	} {
		if name, version := Release(test.file, test.address); name != test.name || version != test.version {
			t.Errorf("%s: %q %q, want %q %q", test.file, name, version, test.name, test.version)
		}
	}
}

func aggregates(m map[string]any) (list []string) {
	for _, c := range m["compositions"].([]any) {
		c := c.(map[string]any)
		for _, key := range []string{"dependencies", "assemblies"} {
			if refs, ok := c[key].([]any); ok {
				list = append(list, refs[0].(string)+" "+key+" "+c["aggregate"].(string))
			}
		}
	}
	return list
}

// Where nobody knows what was linked, both lists say so; what the application's sources hold is never known.
func TestUnknown(t *testing.T) {
	i := sample()
	for known, word := range map[bool]string{true: "complete", false: "unknown"} {
		i.LinkKnown = known
		want := []string{
			"image dependencies complete", "program-server dependencies " + word,
			"program-server assemblies unknown",
		}
		if got := aggregates(decode(t, i.CycloneDX())); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		text, err := json.Marshal(i.SPDX())
		if said := strings.Contains(string(text), `"relatedSpdxElement":"NOASSERTION"`); err != nil || said == known {
			t.Errorf("known %v, SPDX says %v, %v", known, said, err)
		}
	}
}

func TestUpstream(t *testing.T) {
	for version, want := range map[string]string{
		"1:1.2.13.dfsg-1": "1.2.13", "12.2.0-14+deb12u1": "12.2.0", "2.1.12-stable-8+deb12u1": "2.1.12-stable",
		"2.13+dfsg-7.1":         "2.13",
		"1.5.4+dfsg2-5+deb12u1": "1.5.4", "5.7-0.5~deb12u1": "5.7", "3.23+nmu1": "3.23", "1.3.3+ds-1": "1.3.3",
		"1.2~rc1-1": "1.2", "1.203": "1.203",
	} {
		if got := upstream(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// update writes the golden files anew: go test ./internal/report/sbom -update.
var update = flag.Bool("update", false, "write the golden files anew")

// The lists as a whole. .ci/sbom checks these files with the schema of each format.
func TestGolden(t *testing.T) {
	for name, list := range map[string]any{"spdx.json": sample().SPDX(), "cyclonedx.json": sample().CycloneDX()} {
		got, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(file, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(file); err != nil || string(want) != string(got)+"\n" {
			t.Errorf("%s differs, %v; -update writes it anew:\n%s", file, err, got)
		}
	}
}

// The same image gives the same list; another one does not.
func TestUnique(t *testing.T) {
	a, b := sample(), sample()
	if a.unique() != b.unique() {
		t.Error("equal images have two numbers")
	}
	b.SHA256 = strings.Repeat("00", 32)
	if a.unique() == b.unique() {
		t.Error("two images have one number")
	}
}
