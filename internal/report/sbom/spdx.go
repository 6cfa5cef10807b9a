package sbom

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// unknown is SPDX's word for what nobody says.
const unknown = "NOASSERTION"

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
	Purpose   string      `json:"primaryPackagePurpose,omitempty"`
	Supplier  string      `json:"supplier"`
	Location  string      `json:"downloadLocation"`
	Analyzed  bool        `json:"filesAnalyzed"`
	Homepage  string      `json:"homepage,omitempty"`
	Checksums []checksum  `json:"checksums,omitempty"`
	Source    string      `json:"sourceInfo,omitempty"`
	Concluded string      `json:"licenseConcluded"`
	Declared  string      `json:"licenseDeclared"`
	Licences  string      `json:"licenseComments,omitempty"`
	Copyright string      `json:"copyrightText"`
	Comment   string      `json:"comment,omitempty"`
	External  []reference `json:"externalRefs,omitempty"`
}

type spdxFile struct {
	ID        string     `json:"SPDXID"`
	Name      string     `json:"fileName"`
	Types     []string   `json:"fileTypes"`
	Checksums []checksum `json:"checksums"`
	Concluded string     `json:"licenseConcluded"`
	Copyright string     `json:"copyrightText"`
	Comment   string     `json:"comment,omitempty"`
}

type relationship struct {
	From    string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	To      string `json:"relatedSpdxElement"`
	Comment string `json:"comment,omitempty"`
}

type extracted struct {
	ID   string `json:"licenseId"`
	Text string `json:"extractedText"`
	Name string `json:"name"`
}

type spdxDocument struct {
	Version       string         `json:"spdxVersion"`
	License       string         `json:"dataLicense"`
	ID            string         `json:"SPDXID"`
	Name          string         `json:"name"`
	Namespace     string         `json:"documentNamespace"`
	Creation      spdxCreation   `json:"creationInfo"`
	Packages      []spdxPackage  `json:"packages"`
	Files         []spdxFile     `json:"files,omitempty"`
	Licenses      []extracted    `json:"hasExtractedLicensingInfos,omitempty"`
	Relationships []relationship `json:"relationships"`
}

type spdxCreation struct {
	Created  string   `json:"created"`
	Creators []string `json:"creators"`
}

// document and root are the list itself and the image in it.
const (
	document = "SPDXRef-DOCUMENT"
	root     = "SPDXRef-image"
)

// SPDX is the list as an SPDX document, to be printed as JSON.
func (i Image) SPDX() any {
	d := &spdxDocument{
		Version: "SPDX-2.3", License: "CC0-1.0", ID: document, Name: i.Name,
		Namespace: "https://spdx.org/spdxdocs/ukl-" + id(i.Name) + "-" + i.unique(),
		Creation:  spdxCreation{created, []string{"Tool: ukl-" + i.Version}},
		Packages: []spdxPackage{{
			ID: root, Name: i.Name, Purpose: "OPERATING_SYSTEM", Supplier: unknown, Location: unknown,
			Checksums: []checksum{{"SHA256", i.SHA256}}, Concluded: unknown, Declared: unknown, Copyright: unknown,
		}},
		Relationships: []relationship{{document, "DESCRIBES", root, ""}},
	}
	refs := i.refs()
	holder := root
	if n := i.program(); n >= 0 {
		holder = "SPDXRef-" + refs[n]
	}
	texts := map[string]string{}
	for n, c := range i.Components {
		ref := "SPDXRef-" + refs[n]
		d.Packages = append(d.Packages, c.spdx(ref))
		maps.Copy(texts, c.License.Texts)
		d.relate(c, ref, holder)
		d.patch(c, ref, refs[n])
	}
	if i.program() >= 0 && !i.LinkKnown {
		d.Relationships = append(d.Relationships,
			relationship{holder, "CONTAINS", unknown, "what was linked into the program is not known"})
	}
	for _, ref := range slices.Sorted(maps.Keys(texts)) {
		name := strings.TrimPrefix(ref, "LicenseRef-Debian-")
		d.Licenses = append(d.Licenses, extracted{ref, texts[ref], name})
	}
	return d
}

func (c Component) spdx(ref string) spdxPackage {
	c = c.known()
	p := spdxPackage{
		ID: ref, Name: c.Name, Version: c.Version, Supplier: unknown, Location: unknown, Homepage: c.Homepage,
		Concluded: unknown, Declared: unknown, Copyright: unknown, Purpose: "LIBRARY",
	}
	switch c.Role {
	case Source:
		p.Purpose = "SOURCE"
	case Program, Tool:
		p.Purpose = "APPLICATION"
	case Data:
		p.Purpose = "OTHER"
	}
	if c.SHA256 != "" {
		p.Checksums = []checksum{{"SHA256", c.SHA256}}
	}
	if c.Location != "" {
		p.Location = c.Location
	}
	if name, address := maintainer(c.Supplier); name != "" {
		kind := "Person"
		if team(name) {
			kind = "Organization"
		}
		p.Supplier = kind + ": " + name
		if address != "" {
			p.Supplier += " (" + address + ")"
		}
	}
	if c.Source != "" {
		p.Source = fmt.Sprintf("built from Debian's source package %s %s", c.Source, c.SourceVersion)
	}
	p.Declared, p.Concluded, p.Licences = c.License.spdx()
	if purl := c.purl(); purl != "" {
		p.External = append(p.External, reference{"PACKAGE-MANAGER", "purl", purl})
	}
	if cpe, known := c.cpe(); cpe != "" {
		p.External = append(p.External, reference{"SECURITY", "cpe23Type", cpe})
		if !known {
			p.Comment = "The CPE is made of the package's name: a candidate."
		}
	}
	return p
}

// spdx are what is declared, what is concluded, and a comment. A licence that is not on SPDX's list needs its text.
func (l License) spdx() (declared, concluded, comment string) {
	declared, concluded = l.Declared, l.Concluded
	if l.textless(declared) {
		comment = "The copyright file says " + declared + ", whose text is in the package."
		declared = unknown
	}
	if declared == "" {
		declared = unknown
	}
	if concluded == "" {
		concluded = unknown
	}
	return declared, concluded, comment
}

// relate says how a component took part. holder is the program.
func (d *spdxDocument) relate(c Component, ref, holder string) {
	add := func(from, kind, to, comment string) {
		d.Relationships = append(d.Relationships, relationship{from, kind, to, comment})
	}
	whole := root
	if c.InProgram {
		whole = holder
	}
	switch c.Role {
	case Source:
		if len(c.Parts) > 0 {
			add(whole, "STATIC_LINK", ref, c.extent())
		} else {
			add(whole, "GENERATED_FROM", ref, "")
		}
	case Linked:
		add(whole, "STATIC_LINK", ref, c.extent())
	case Inlined:
		add(whole, "GENERATED_FROM", ref, c.extent())
	case Shared:
		add(holder, "DYNAMIC_LINK", ref, c.extent())
	case Module:
		add(whole, "CONTAINS", ref, "")
	case Program:
		add(root, "CONTAINS", ref, "")
	case Possible:
		add(whole, "OTHER", ref, "object files of it may be in the program: nobody knows")
	case Data:
		add(ref, "RUNTIME_DEPENDENCY_OF", root, "files of it are in the root file system of runs and of disks")
	case Tool:
		add(ref, "BUILD_TOOL_OF", root, "")
	}
}

// patch adds the patches that were applied to a component.
func (d *spdxDocument) patch(c Component, ref, name string) {
	for n, p := range c.Patches {
		license := p.License
		if license == "" {
			license = unknown
		}
		file := fmt.Sprintf("SPDXRef-patch-%s-%d", name, n+1)
		d.Files = append(d.Files, spdxFile{
			ID: file, Name: "./" + p.File, Types: []string{"SOURCE"},
			Checksums: []checksum{{"SHA1", p.SHA1}, {"SHA256", p.SHA256}},
			Concluded: license, Copyright: unknown, Comment: p.Subject,
		})
		d.Relationships = append(d.Relationships, relationship{file, "PATCH_APPLIED", ref, ""})
	}
}

// extent says how much of a component is in the program.
func (c Component) extent() string {
	lines := []string{"a part of it:"}
	if c.Whole {
		lines[0] = "all of it:"
	}
	for _, p := range c.Parts {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}
