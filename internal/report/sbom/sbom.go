// Package sbom lists what an image was made of, in the formats that others read: SPDX 2.3 and CycloneDX 1.5, both JSON. Equal
// images give equal lists: the time in them is that of all builds, and nothing is a random number.
package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// Role is how an input took part.
type Role string

const (
	Source  Role = "source"  // compiled, with patches of ukl's, and in the image
	Linked  Role = "linked"  // objects of it may be in the image
	Program Role = "program" // in the image as it is
	Tool    Role = "tool"    // only looked at or run during the build
)

// Component is one input.
type Component struct {
	Name, Version string
	SHA256        string
	Package       string // the file's name in Debian's pool; "" if it is not from there
	Location      string // where anybody can fetch it; "" is not said
	Role          Role
}

// Image is what was made.
type Image struct {
	Name       string
	SHA256     string // of its bzImage
	Version    string // of ukl
	Components []Component
}

// created is the time stamp of every build: SOURCE_DATE_EPOCH=1.
const created = "1970-01-01T00:00:01Z"

// purl is the package's name in the scheme that scanners know.
func (c Component) purl() string {
	if c.Package == "" {
		return ""
	}
	architecture := "amd64"
	if strings.HasSuffix(c.Package, "_all.deb") {
		architecture = "all"
	}
	escape := strings.NewReplacer("%", "%25", "+", "%2B", ":", "%3A").Replace
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=debian-12", escape(c.Name), escape(c.Version), architecture)
}

// id is a name that both formats take: letters, digits, "." and "-".
func id(parts ...string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, strings.Join(parts, "-"))
}

// unique is a number that follows from the image alone.
func (i Image) unique() string {
	sum := sha256.Sum256([]byte(i.Name + "\n" + i.SHA256))
	return hex.EncodeToString(sum[:16])
}

type checksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type reference struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxPackage struct {
	ID        string      `json:"SPDXID"`
	Name      string      `json:"name"`
	Version   string      `json:"versionInfo,omitempty"`
	Location  string      `json:"downloadLocation"`
	Analyzed  bool        `json:"filesAnalyzed"`
	Checksums []checksum  `json:"checksums"`
	Concluded string      `json:"licenseConcluded"`
	Declared  string      `json:"licenseDeclared"`
	Copyright string      `json:"copyrightText"`
	External  []reference `json:"externalRefs,omitempty"`
}

type relationship struct {
	From string `json:"spdxElementId"`
	Type string `json:"relationshipType"`
	To   string `json:"relatedSpdxElement"`
}

// SPDX is the list as an SPDX document, to be printed as JSON.
func (i Image) SPDX() any {
	const unknown = "NOASSERTION"
	make := func(ref, name, version, sum string) spdxPackage {
		return spdxPackage{
			ID: ref, Name: name, Version: version, Location: unknown, Checksums: []checksum{{"SHA256", sum}},
			Concluded: unknown, Declared: unknown, Copyright: unknown,
		}
	}
	const root = "SPDXRef-image"
	packages := []spdxPackage{make(root, i.Name, "", i.SHA256)}
	relations := []relationship{{"SPDXRef-DOCUMENT", "DESCRIBES", root}}
	for _, c := range i.Components {
		ref := "SPDXRef-" + id(string(c.Role), c.Name)
		p := make(ref, c.Name, c.Version, c.SHA256)
		if c.Location != "" {
			p.Location = c.Location
		}
		if purl := c.purl(); purl != "" {
			p.External = []reference{{"PACKAGE-MANAGER", "purl", purl}}
		}
		packages = append(packages, p)
		switch c.Role {
		case Source:
			relations = append(relations, relationship{root, "GENERATED_FROM", ref})
		case Linked:
			relations = append(relations, relationship{root, "STATIC_LINK", ref})
		case Program:
			relations = append(relations, relationship{root, "CONTAINS", ref})
		case Tool:
			relations = append(relations, relationship{ref, "BUILD_TOOL_OF", root})
		}
	}
	return struct {
		Version       string         `json:"spdxVersion"`
		License       string         `json:"dataLicense"`
		ID            string         `json:"SPDXID"`
		Name          string         `json:"name"`
		Namespace     string         `json:"documentNamespace"`
		Creation      any            `json:"creationInfo"`
		Packages      []spdxPackage  `json:"packages"`
		Relationships []relationship `json:"relationships"`
	}{
		"SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT", i.Name, "https://spdx.org/spdxdocs/ukl-" + id(i.Name) + "-" + i.unique(),
		struct {
			Created  string   `json:"created"`
			Creators []string `json:"creators"`
		}{created, []string{"Tool: ukl-" + i.Version}},
		packages, relations,
	}
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type cyclone struct {
	Type       string     `json:"type"`
	Ref        string     `json:"bom-ref"`
	Name       string     `json:"name"`
	Version    string     `json:"version,omitempty"`
	Scope      string     `json:"scope,omitempty"`
	Hashes     []hash     `json:"hashes"`
	PURL       string     `json:"purl,omitempty"`
	Properties []property `json:"properties,omitempty"`
	External   []external `json:"externalReferences,omitempty"`
}

type external struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

// CycloneDX is the list as a CycloneDX document, to be printed as JSON.
func (i Image) CycloneDX() any {
	u := i.unique()
	image := cyclone{Type: "operating-system", Ref: "image", Name: i.Name, Hashes: []hash{{"SHA-256", i.SHA256}}}
	parts, refs := []cyclone{}, []string{}
	for _, c := range i.Components {
		part := cyclone{
			Type: "library", Ref: id(string(c.Role), c.Name), Name: c.Name, Version: c.Version, Scope: "required",
			Hashes: []hash{{"SHA-256", c.SHA256}}, PURL: c.purl(), Properties: []property{{"ukl:role", string(c.Role)}},
		}
		if c.Location != "" {
			part.External = []external{{"distribution", c.Location}}
		}
		switch c.Role {
		case Tool:
			part.Type, part.Scope = "application", "excluded" // from what runs
		case Program:
			part.Type = "application"
		}
		if c.Role != Tool {
			refs = append(refs, part.Ref)
		}
		parts = append(parts, part)
	}
	return struct {
		Format       string    `json:"bomFormat"`
		Spec         string    `json:"specVersion"`
		Serial       string    `json:"serialNumber"`
		Version      int       `json:"version"`
		Metadata     any       `json:"metadata"`
		Components   []cyclone `json:"components"`
		Dependencies any       `json:"dependencies"`
	}{
		"CycloneDX", "1.5", fmt.Sprintf("urn:uuid:%s-%s-5%s-8%s-%s", u[:8], u[8:12], u[13:16], u[17:20], u[20:32]), 1,
		struct {
			Timestamp string  `json:"timestamp"`
			Tools     any     `json:"tools"`
			Component cyclone `json:"component"`
		}{created, map[string]any{"components": []map[string]string{{"type": "application", "name": "ukl", "version": i.Version}}}, image},
		parts,
		[]any{map[string]any{"ref": "image", "dependsOn": refs}},
	}
}
