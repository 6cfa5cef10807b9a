// Package sbom lists what an image was made of, in the formats that others read: SPDX 2.3 and CycloneDX 1.6, both JSON.
// Equal images give equal lists: the time in them is that of all builds, and nothing is a random number. What is not
// known is said to be unknown in the words of each format; nothing is left out for that.
package sbom

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Role is how an input took part.
type Role string

// The roles. All but Tool and Data are in the image, or may be.
const (
	Source   Role = "source"   // compiled, with patches of ukl's or the application's
	Linked   Role = "linked"   // object files of it are in the program
	Inlined  Role = "inlined"  // code of its headers is in the program, and no object file
	Shared   Role = "shared"   // shared libraries of it are beside the image, and the program needs them
	Module   Role = "module"   // the program says that it holds it
	Possible Role = "possible" // object files of it may be in the program: nobody knows
	Program  Role = "program"  // it is the application
	Data     Role = "data"     // files of it are beside the image, in the root file system of runs and of disks
	Tool     Role = "tool"     // looked at or run during the build, and nothing of it is in the image
)

// Component is one input.
type Component struct {
	Name, Version string
	SHA256        string
	Role          Role
	Package       string // the file's name in Debian's pool; "" if it is not from there
	Module        string // the language whose module it is: go or cargo, as purls call them; "" is no module
	Public        bool   // the module is in the language's public registry
	Sum           string // of a Go module, as go.sum has it
	Location      string // where anybody can fetch it; "" is not said
	Archive       bool   // it is a file of source that the application's ukl.toml names
	Container     bool   // it is a container image, and SHA256 the digest of its manifest

	Source, SourceVersion string // the source package in Debian
	Supplier              string // who maintains it: Name <address>
	Homepage              string

	License   License
	Parts     []Part
	Whole     bool // all that a linker could take of it is in the program
	Patches   []Patch
	InProgram bool // it is part of the program, not of the image around it
}

// License is what is known of a component's licence.
type License struct {
	Declared  string            // by its authors, as an SPDX expression
	Concluded string            // from the text, by ukl's; "" is nothing
	Texts     map[string]string // of the expression's LicenseRefs; SPDX has no place for one without
}

// Part is a file of a component that is in the program.
type Part struct {
	File    string
	Members []string // of a static library
	Of      int      // how many members it has in all; 0 is no library, or not known
	Bytes   uint64   // in memory; nobody knows it for code of a header
	Header  bool
}

// String describes the part in a line.
func (p Part) String() string {
	size := fmt.Sprintf(", %d bytes", p.Bytes)
	switch {
	case p.Header:
		return p.File + ": inline code"
	case len(p.Members) > 0 && p.Of > 0:
		return fmt.Sprintf("%s: %d of %d members%s: %s", p.File, len(p.Members), p.Of, size, strings.Join(p.Members, " "))
	case len(p.Members) > 0:
		return fmt.Sprintf("%s: %d members%s: %s", p.File, len(p.Members), size, strings.Join(p.Members, " "))
	}
	return p.File + size
}

// Patch is one that was applied to a component.
type Patch struct {
	File         string // its path below the sources of ukl or of the application
	Subject      string
	License      string // an SPDX expression; "" is not known
	SHA1, SHA256 string
}

// Image is what was made.
type Image struct {
	Name       string
	SHA256     string // of its bzImage
	Version    string // of ukl
	Components []Component
	// LinkKnown tells that all object files of the program are among the components, so nothing else was linked.
	LinkKnown bool
}

// created is the time stamp of every build: SOURCE_DATE_EPOCH=1.
const created = "1970-01-01T00:00:01Z"

// purl is the component's name in the scheme that scanners know.
func (c Component) purl() string {
	escape := strings.NewReplacer("%", "%25", "+", "%2B", ":", "%3A", "@", "%40", "?", "%3F", "#", "%23").Replace
	switch {
	case c.Module != "" && c.Public && c.Version != "":
		return "pkg:" + c.Module + "/" + escape(c.Name) + "@" + escape(c.Version)
	case c.Archive:
		name, version := Release(c.Name, c.Location)
		purl := "pkg:generic/" + escape(name)
		if version != "" {
			purl += "@" + escape(version)
		}
		purl += "?checksum=sha256:" + c.SHA256
		if c.Location != "" {
			purl += "&download_url=" + url.QueryEscape(c.Location)
		}
		return purl
	case c.Container:
		return "pkg:oci/" + escape(strings.ToLower(c.Name)) + "@sha256%3A" + c.SHA256
	case c.Package == "":
		return ""
	}
	architecture := "amd64"
	if strings.HasSuffix(c.Package, "_all.deb") {
		architecture = "all"
	}
	upstream := ""
	switch {
	case c.Source == "" || c.Source == c.Name && c.SourceVersion == c.Version:
	case c.SourceVersion == c.Version:
		upstream = "&upstream=" + escape(c.Source)
	default:
		upstream = "&upstream=" + escape(c.Source+"@"+c.SourceVersion)
	}
	return fmt.Sprintf("pkg:deb/debian/%s@%s?arch=%s&distro=debian-12%s",
		escape(c.Name), escape(c.Version), architecture, upstream)
}

var (
	packed   = regexp.MustCompile(`(?i)(\.orig)?\.(tar(\.[a-z0-9]+)?|t[gbx]z2?|tzst|zip)$`)
	released = regexp.MustCompile(`^(?:(.+?)[-_])?[vV]?([0-9][0-9A-Za-z.+~]*(?:-(?:alpha|beta|rc|pre)[0-9.]*)?)$`)
)

// Release is what the name of an archive says: the program's name and version, as in zlib-1.3.1.tar.gz. One that has
// only a version has its name from the address, which for a release at a host of repositories is the repository's. ""
// is not said.
func Release(file, address string) (name, version string) {
	name = packed.ReplaceAllString(file, "")
	if m := released.FindStringSubmatch(name); m != nil {
		name, version = m[1], m[2]
	}
	if name != "" {
		return name, version
	}
	steps := strings.Split(address, "/")
	of := func(s string) bool { return s == "archive" || s == "releases" || s == "-" }
	if at := slices.IndexFunc(steps, of); at > 3 {
		return steps[at-1], version
	}
	return file, version
}

// Go's own authors: of the standard library and of the modules that they publish beside it.
const (
	goAuthors  = "The Go Authors"
	goHomepage = "https://go.dev/"
	goLicense  = "BSD-3-Clause"
	goModules  = "golang.org/x/"
)

// known adds to a module what is known of it by its name alone.
func (c Component) known() Component {
	if c.Module == "golang" && c.Public && (c.Name == stdlib || strings.HasPrefix(c.Name, goModules)) {
		c.Supplier, c.Homepage, c.License.Declared = goAuthors, goHomepage, goLicense
		return c
	}
	steps := strings.Split(c.Name, "/")
	hosts := []string{"github.com", "gitlab.com", "codeberg.org"}
	if c.Module == "golang" && c.Public && len(steps) > 2 && slices.Contains(hosts, steps[0]) {
		c.Homepage = "https://" + strings.Join(steps[:3], "/")
	}
	return c
}

// stdlib is the name of Go's standard library among modules.
const stdlib = "stdlib"

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

// refs are names for the components that no two of them share: libfoo+1 and libfoo-1 are one name without signs.
func (i Image) refs() []string {
	var list []string
	for _, c := range i.Components {
		ref := id(string(c.Role), c.Name)
		for n := 2; slices.Contains(list, ref); n++ {
			ref = id(string(c.Role), c.Name, fmt.Sprint(n))
		}
		list = append(list, ref)
	}
	return list
}

// program is the place of the application among the components; -1 is none.
func (i Image) program() int {
	return slices.IndexFunc(i.Components, func(c Component) bool { return c.Role == Program })
}

// unique is a number that follows from the image alone.
func (i Image) unique() string {
	sum := sha256.Sum256([]byte(i.Name + "\n" + i.SHA256))
	return hex.EncodeToString(sum[:16])
}

// maintainer cuts "Name <address>" in two.
func maintainer(s string) (name, address string) {
	name, address, _ = strings.Cut(s, " <")
	return name, strings.TrimSuffix(address, ">")
}

// team tells whether a maintainer is more than one person.
func team(name string) bool {
	low := strings.ToLower(name)
	words := []string{"team", "maintainers", "developers", "group", "debian", "authors"}
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(low, w) })
}

// textless tells whether an expression names a licence that is not on SPDX's list and whose text is not known.
func (l License) textless(expression string) bool {
	return slices.ContainsFunc(words(expression), func(w string) bool {
		return strings.HasPrefix(w, "LicenseRef-") && l.Texts[w] == ""
	})
}

// words are the identifiers and operators of an expression.
func words(expression string) []string {
	return strings.FieldsFunc(expression, func(r rune) bool { return strings.ContainsRune(" ()", r) })
}
