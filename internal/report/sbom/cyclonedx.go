package sbom

import (
	"fmt"
	"strings"
)

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

type property struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type contact struct {
	Name  string `json:"name"`
	Email string `json:"email,omitempty"`
}

type organization struct {
	Name    string    `json:"name"`
	Contact []contact `json:"contact,omitempty"`
}

type attachment struct {
	Type    string `json:"contentType"`
	Content string `json:"content"`
}

type named struct {
	ID              string      `json:"id,omitempty"`
	Name            string      `json:"name,omitempty"`
	Text            *attachment `json:"text,omitempty"`
	Acknowledgement string      `json:"acknowledgement"`
}

// license is either a licence of its own or an expression.
type license struct {
	License         *named `json:"license,omitempty"`
	Expression      string `json:"expression,omitempty"`
	Acknowledgement string `json:"acknowledgement,omitempty"`
}

type diff struct {
	URL string `json:"url"`
}

type issue struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

type patch struct {
	Type     string  `json:"type"`
	Diff     diff    `json:"diff"`
	Resolves []issue `json:"resolves,omitempty"`
}

type pedigree struct {
	Ancestors []cyclone `json:"ancestors,omitempty"`
	Patches   []patch   `json:"patches,omitempty"`
	Notes     string    `json:"notes,omitempty"`
}

type external struct {
	Type string `json:"type"`
	URL  string `json:"url"`
}

type cyclone struct {
	Type       string        `json:"type"`
	Ref        string        `json:"bom-ref"`
	Supplier   *organization `json:"supplier,omitempty"`
	Name       string        `json:"name"`
	Version    string        `json:"version,omitempty"`
	Scope      string        `json:"scope,omitempty"`
	Hashes     []hash        `json:"hashes,omitempty"`
	Licenses   []license     `json:"licenses,omitempty"`
	CPE        string        `json:"cpe,omitempty"`
	PURL       string        `json:"purl,omitempty"`
	Pedigree   *pedigree     `json:"pedigree,omitempty"`
	External   []external    `json:"externalReferences,omitempty"`
	Properties []property    `json:"properties,omitempty"`
}

type dependency struct {
	Ref string   `json:"ref"`
	On  []string `json:"dependsOn"`
}

type composition struct {
	Aggregate    string   `json:"aggregate"`
	Assemblies   []string `json:"assemblies,omitempty"`
	Dependencies []string `json:"dependencies,omitempty"`
}

type cycloneTool struct {
	Components []cyclone `json:"components"`
}

type cycloneMetadata struct {
	Timestamp string      `json:"timestamp"`
	Tools     cycloneTool `json:"tools"`
	Component cyclone     `json:"component"`
}

type cycloneDocument struct {
	Format       string          `json:"bomFormat"`
	Spec         string          `json:"specVersion"`
	Serial       string          `json:"serialNumber"`
	Version      int             `json:"version"`
	Metadata     cycloneMetadata `json:"metadata"`
	Components   []cyclone       `json:"components"`
	Dependencies []dependency    `json:"dependencies"`
	Compositions []composition   `json:"compositions"`
}

// image is the name of the image in the list.
const image = "image"

// CycloneDX is the list as a CycloneDX document, to be printed as JSON.
func (i Image) CycloneDX() any {
	u := i.unique()
	d := &cycloneDocument{
		Format: "CycloneDX", Spec: "1.6", Version: 1,
		Serial: fmt.Sprintf("urn:uuid:%s-%s-5%s-8%s-%s", u[:8], u[8:12], u[13:16], u[17:20], u[20:32]),
		Metadata: cycloneMetadata{
			Timestamp: created,
			Tools:     cycloneTool{[]cyclone{{Type: "application", Ref: "ukl", Name: "ukl", Version: i.Version}}},
			Component: cyclone{Type: "operating-system", Ref: image, Name: i.Name, Hashes: []hash{{"SHA-256", i.SHA256}}},
		},
		Components: []cyclone{},
	}
	refs := i.refs()
	program := i.program()
	whole, inside := []string{}, []string{}
	for n, c := range i.Components {
		d.Components = append(d.Components, c.cyclone(refs[n]))
		switch {
		case c.Role == Tool:
		case (c.InProgram || c.Role == Shared) && program >= 0:
			inside = append(inside, refs[n])
		default:
			whole = append(whole, refs[n])
		}
	}
	d.Dependencies = []dependency{{image, whole}}
	d.Compositions = []composition{{Aggregate: "complete", Dependencies: []string{image}}}
	if program >= 0 {
		ref := refs[program]
		d.Dependencies = append(d.Dependencies, dependency{ref, inside})
		aggregate := "complete"
		if !i.LinkKnown {
			aggregate = "unknown"
		}
		// What the application's own sources hold, nobody has looked at.
		d.Compositions = append(d.Compositions,
			composition{Aggregate: aggregate, Dependencies: []string{ref}}, composition{
				Aggregate:  "unknown",
				Assemblies: []string{ref},
			})
	}
	return d
}

func (c Component) cyclone(ref string) cyclone {
	c = c.known()
	part := cyclone{
		Type: "library", Ref: ref, Name: c.Name, Version: c.Version, Scope: "required", PURL: c.purl(),
		Licenses:   c.License.cyclone(),
		Properties: []property{{"ukl:role", string(c.Role)}},
	}
	if c.SHA256 != "" {
		part.Hashes = []hash{{"SHA-256", c.SHA256}}
	}
	if name, address := maintainer(c.Supplier); name != "" {
		part.Supplier = &organization{Name: name}
		if address != "" {
			part.Supplier.Contact = []contact{{name, address}}
		}
	}
	if c.Location != "" {
		part.External = append(part.External, external{"distribution", c.Location})
	}
	if c.Homepage != "" {
		part.External = append(part.External, external{"website", c.Homepage})
	}
	switch {
	case c.Role == Tool:
		part.Type, part.Scope = "application", "excluded" // from what runs
	case c.Role == Data:
		part.Type = "data"
	case c.Role == Possible:
		part.Scope = "optional"
	case c.Role == Program:
		part.Type = "application"
	case c.Source == "linux" && c.Role == Source:
		part.Type = "operating-system"
	}
	var known bool
	if part.CPE, known = c.cpe(); part.CPE != "" && !known {
		part.Properties = append(part.Properties, property{"ukl:cpe", "candidate"})
	}
	if c.Sum != "" {
		part.Properties = append(part.Properties, property{"ukl:go.sum", c.Sum})
	}
	if len(c.Parts) > 0 {
		extent := "part"
		if c.Whole {
			extent = "whole"
		}
		part.Properties = append(part.Properties, property{"ukl:extent", extent})
	}
	for _, p := range c.Parts {
		part.Properties = append(part.Properties, property{"ukl:part", p.String()})
	}
	part.Pedigree = c.pedigree(ref)
	return part
}

// pedigree says what a component was before it was patched.
func (c Component) pedigree(ref string) *pedigree {
	if len(c.Patches) == 0 {
		return nil
	}
	p := &pedigree{Notes: fmt.Sprintf("compiled with %d patches", len(c.Patches))}
	before := cyclone{Type: "library", Ref: ref + "-unpatched", Name: c.Name, Version: c.Version, PURL: c.purl()}
	if c.SHA256 != "" {
		before.Hashes = []hash{{"SHA-256", c.SHA256}}
	}
	p.Ancestors = []cyclone{before}
	for _, one := range c.Patches {
		p.Patches = append(p.Patches, patch{"unofficial", diff{one.File}, []issue{{"enhancement", one.Subject}}})
	}
	return p
}

// cyclone are the licences: one on SPDX's list, one with a text of its own, or an expression.
func (l License) cyclone() []license {
	expression, said := l.Concluded, "concluded"
	if expression == "" {
		expression, said = l.Declared, "declared"
	}
	switch {
	case expression == "":
		return nil
	case strings.ContainsAny(expression, " ("):
		return []license{{Expression: expression, Acknowledgement: said}}
	case strings.HasPrefix(expression, "LicenseRef-"):
		n := &named{Name: expression, Acknowledgement: said}
		if text := l.Texts[expression]; text != "" {
			n.Text = &attachment{"text/plain", text}
		}
		return []license{{License: n}}
	}
	return []license{{License: &named{ID: expression, Acknowledgement: said}}}
}
