package sbom

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func image() Image {
	h := strings.Repeat("ab", 32)
	return Image{Name: "my app", SHA256: h, Version: "1", Components: []Component{
		{"linux-source-6.1", "6.1.176-1", h, "linux-source-6.1_6.1.176-1_all.deb", "", Source},
		{"libstdc++-12-dev", "12.2.0-14+deb12u1", h, "libstdc++-12-dev_12.2.0-14+deb12u1_amd64.deb", "", Linked},
		{"server", "", h, "", "", Program},
		{"perl", "5.36.0-7+deb12u3", h, "perl_5.36.0-7+deb12u3_amd64.deb", "", Tool},
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
	m := decode(t, image().SPDX())
	ids := map[string]bool{"SPDXRef-DOCUMENT": true}
	for _, p := range m["packages"].([]any) {
		id := p.(map[string]any)["SPDXID"].(string)
		if ids[id] || !regexp.MustCompile(`^SPDXRef-[A-Za-z0-9.-]+$`).MatchString(id) {
			t.Errorf("id %q is taken or none", id)
		}
		ids[id] = true
	}
	kinds := ""
	for _, r := range m["relationships"].([]any) {
		r := r.(map[string]any)
		if !ids[r["spdxElementId"].(string)] || !ids[r["relatedSpdxElement"].(string)] {
			t.Errorf("%v relates what is not there", r)
		}
		kinds += r["relationshipType"].(string) + " "
	}
	if kinds != "DESCRIBES GENERATED_FROM STATIC_LINK CONTAINS BUILD_TOOL_OF " {
		t.Errorf("relationships: %s", kinds)
	}
}

func TestCycloneDX(t *testing.T) {
	m := decode(t, image().CycloneDX())
	if s := m["serialNumber"].(string); !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(s) {
		t.Errorf("serial number %q", s)
	}
	var purls []string
	for _, c := range m["components"].([]any) {
		p, _ := c.(map[string]any)["purl"].(string)
		purls = append(purls, p)
	}
	if purls[1] != "pkg:deb/debian/libstdc%2B%2B-12-dev@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12" || purls[2] != "" {
		t.Errorf("purls: %q", purls)
	}
	deps := m["dependencies"].([]any)[0].(map[string]any)["dependsOn"].([]any)
	if len(deps) != 3 {
		t.Errorf("the image depends on its tools: %v", deps)
	}
}

// update writes the golden files anew: go test ./internal/report/sbom -update.
var update = flag.Bool("update", false, "write the golden files anew")

// The lists as a whole. They were checked with the schema of each format when the files were last written.
func TestGolden(t *testing.T) {
	for name, list := range map[string]any{"spdx.json": image().SPDX(), "cyclonedx.json": image().CycloneDX()} {
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

// What SPDX 2.3 (chapters 6 and 7) and CycloneDX 1.5 demand is there, wherever a list has such an object.
func TestRequired(t *testing.T) {
	has := func(what string, v any, keys ...string) map[string]any {
		m, _ := v.(map[string]any)
		for _, k := range keys {
			if m[k] == nil || m[k] == "" {
				t.Errorf("%s has no %s: %v", what, k, v)
			}
		}
		return m
	}
	m := has("document", decode(t, image().SPDX()), "spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo", "packages")
	has("creationInfo", m["creationInfo"], "created", "creators")
	for _, p := range m["packages"].([]any) {
		p := has("package", p, "SPDXID", "name", "downloadLocation")
		if p["filesAnalyzed"] != false { // true, the value without one, demands a verification code
			t.Errorf("files of %v are analyzed", p)
		}
		for _, c := range p["checksums"].([]any) {
			has("checksum", c, "algorithm", "checksumValue")
		}
	}
	for _, r := range m["relationships"].([]any) {
		has("relationship", r, "spdxElementId", "relationshipType", "relatedSpdxElement")
	}
	m = has("bom", decode(t, image().CycloneDX()), "bomFormat", "specVersion", "version", "components")
	refs := map[string]bool{}
	for _, c := range append(m["components"].([]any), m["metadata"].(map[string]any)["component"]) {
		c := has("component", c, "type", "name", "bom-ref")
		if refs[c["bom-ref"].(string)] {
			t.Errorf("two components are %v", c["bom-ref"])
		}
		refs[c["bom-ref"].(string)] = true
		for _, h := range c["hashes"].([]any) {
			has("hash", h, "alg", "content")
		}
	}
	for _, d := range m["dependencies"].([]any) {
		for _, on := range d.(map[string]any)["dependsOn"].([]any) {
			if !refs[on.(string)] {
				t.Errorf("a dependency on %v, which is no component", on)
			}
		}
	}
}

// The same image gives the same list; another one does not.
func TestUnique(t *testing.T) {
	a, b := image(), image()
	if a.unique() != b.unique() {
		t.Error("equal images have two numbers")
	}
	b.SHA256 = strings.Repeat("00", 32)
	if a.unique() == b.unique() {
		t.Error("two images have one number")
	}
}
