package facts

import (
	"slices"
	"strings"
)

// copyright is what a copyright file says about licences.
type copyright struct {
	expression string            // of SPDX
	texts      map[string]string // of the licences in it that are not on SPDX's list
	freeForm   bool
}

// paragraphs reads text of fields: "Name: value", lines of which go on behind a blank, and empty lines between
// paragraphs. Names are in lower case; a line with a single dot is an empty one.
func paragraphs(text string) []map[string]string {
	var all []map[string]string
	var p map[string]string
	field := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case line == "":
			p, field = nil, ""
		case strings.HasPrefix(line, "#"):
		case line[0] == ' ' || line[0] == '\t':
			if line = strings.TrimSpace(line); line == "." {
				line = ""
			}
			if field != "" {
				p[field] += "\n" + line
			}
		default:
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			if p == nil {
				p = map[string]string{}
				all = append(all, p)
			}
			field = strings.ToLower(name)
			p[field] = strings.TrimSpace(value)
		}
	}
	return all
}

// wholeFile is the ending of the name under which a copyright file that no machine can read is a licence of its own.
const wholeFile = "copyright"

// machineReadable tells whether the address of a format is that of Debian's, or of the proposal that it grew out of.
func machineReadable(format string) bool {
	return strings.Contains(format, "copyright-format") || strings.Contains(strings.ToLower(format), "dep5")
}

// parseCopyright reads a copyright file. The licence of a package is what all its files need together, but for those of
// the packaging. A file that is not in Debian's machine-readable format is a licence of its own, with all its text.
func parseCopyright(text, source string) copyright {
	all := paragraphs(text)
	if len(all) == 0 || !machineReadable(all[0]["format"]+all[0]["format-specification"]) {
		ref := reference(source, wholeFile)
		return copyright{ref, map[string]string{ref: text}, true}
	}
	c := copyright{texts: map[string]string{}}
	alone := map[string]string{} // texts of licences, by their names
	for _, p := range all {
		if name, text, _ := strings.Cut(p["license"], "\n"); text != "" {
			if _, ok := alone[strings.ToLower(name)]; !ok {
				alone[strings.ToLower(name)] = text
			}
		}
	}
	var needed []string
	for i, p := range all {
		files := strings.Fields(p["files"])
		upstream := slices.ContainsFunc(files, func(f string) bool { return !strings.HasPrefix(f, "debian/") })
		packaging := len(files) > 0 && !upstream
		name, _, _ := strings.Cut(p["license"], "\n")
		if name == "" || packaging || len(files) == 0 && i > 0 {
			continue
		}
		for _, e := range c.needed(name, source, alone) {
			if !slices.Contains(needed, e) {
				needed = append(needed, e)
			}
		}
	}
	slices.Sort(needed)
	for i, e := range needed {
		if len(needed) > 1 && strings.Contains(e, " OR ") {
			needed[i] = "(" + e + ")"
		}
	}
	c.expression = strings.Join(needed, " AND ")
	if c.expression == "" {
		ref := reference(source, wholeFile)
		return copyright{ref, map[string]string{ref: text}, true}
	}
	return c
}

// needed reads Debian's "A or B, and C", where a comma binds the least, then "or": of these both "A OR B" and C are
// needed.
func (c *copyright) needed(name, source string, alone map[string]string) []string {
	var all []string
	for _, group := range split(name, ", and ", ", ") {
		choices := split(group, " or ", " / ")
		var any []string
		for _, choice := range choices {
			var both []string
			for _, one := range split(choice, " and/or ", " and ") {
				both = append(both, c.license(one, source, alone))
			}
			if len(choices) == 1 {
				all = append(all, both...)
			} else {
				any = append(any, strings.Join(both, " AND "))
			}
		}
		if len(any) > 0 {
			all = append(all, strings.Join(any, " OR "))
		}
	}
	return all
}

// split cuts at the first of the separators that is there, in any case of its letters, and trims the parts.
func split(s string, separators ...string) []string {
	for _, sep := range separators {
		lower := strings.ToLower(s)
		if !strings.Contains(lower, sep) {
			continue
		}
		var parts []string
		for {
			i := strings.Index(strings.ToLower(s), sep)
			if i < 0 {
				return append(parts, strings.TrimSpace(s))
			}
			parts = append(parts, strings.TrimSpace(s[:i]))
			s = s[i+len(sep):]
		}
	}
	return []string{strings.TrimSpace(s)}
}

// license is one licence in SPDX's words. What is not on SPDX's list gets a name of its own, with the text that the
// file has.
func (c *copyright) license(name, source string, alone map[string]string) string {
	if id := spdxID(name); id != "" {
		return id
	}
	ref := reference(source, name)
	text := alone[strings.ToLower(name)]
	if text == "" {
		text = "The copyright file calls it \"" + name + "\" and has no text of it."
	}
	c.texts[ref] = text
	return ref
}

// reference is the name of a licence that SPDX's list does not have.
func reference(source, name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.':
			return r
		}
		return '-'
	}, source+"-"+name)
	return "LicenseRef-Debian-" + clean
}

// ids are SPDX's identifiers of licences whose short names in copyright files are unambiguous: those of Debian's
// format, version 1.0, section 7.1.2, and what is on SPDX's list under the same name. GNU's licences are computed.
var ids = map[string]string{
	"apache-1.0": "Apache-1.0", "apache-1.1": "Apache-1.1", "apache-2": "Apache-2.0", "apache-2.0": "Apache-2.0",
	"artistic": "Artistic-1.0-Perl", "artistic-1": "Artistic-1.0", "artistic-2": "Artistic-2.0",
	"artistic-2.0": "Artistic-2.0",
	"bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause", "bsd-4-clause": "BSD-4-Clause",
	"bsd-4-clause-uc": "BSD-4-Clause-UC",
	"bsl-1.0":         "BSL-1.0", "boost-1.0": "BSL-1.0", "cc0": "CC0-1.0", "cc0-1.0": "CC0-1.0", "curl": "curl",
	"expat": "MIT", "mit": "MIT",
	"fsfap": "FSFAP", "fsful": "FSFUL", "fsfullr": "FSFULLR", "ftl": "FTL", "isc": "ISC", "ijg": "IJG", "hpnd": "HPND",
	"mpl-1.1": "MPL-1.1", "mpl-2.0": "MPL-2.0", "ntp": "NTP", "ofl-1.1": "OFL-1.1", "openssl": "OpenSSL",
	"postgresql": "PostgreSQL",
	"psf-2":      "PSF-2.0", "python-2.0": "Python-2.0", "unlicense": "Unlicense", "wtfpl-2": "WTFPL", "x11": "X11",
	"zlib":    "Zlib",
	"zpl-2.1": "ZPL-2.1", "cddl-1.0": "CDDL-1.0", "epl-1.0": "EPL-1.0",
}

// exceptions are SPDX's identifiers of exceptions, by what stands between "with" and "exception".
var exceptions = map[string]string{
	"autoconf": "Autoconf-exception-2.0", "bison": "Bison-exception-2.2", "bison-2.2": "Bison-exception-2.2",
	"classpath": "Classpath-exception-2.0", "font": "Font-exception-2.0", "gcc": "GCC-exception-3.1",
	"gcc-runtime-library": "GCC-exception-3.1", "libtool": "Libtool-exception", "linux-syscall-note": "Linux-syscall-note",
	"openssl": "", "texinfo": "Texinfo-exception",
}

// spdxID is a Debian short name on SPDX's list; "" is not known.
func spdxID(name string) string {
	low := strings.ToLower(strings.TrimSpace(name))
	base, exception, with := strings.Cut(low, " with ")
	if !with {
		if id := ids[low]; id != "" {
			return id
		}
		return gnu(low)
	}
	exception = strings.TrimSuffix(strings.TrimSuffix(exception, " exception"), "-exception")
	id, e := gnu(base), exceptions[exception]
	if exception == "autoconf" && strings.HasPrefix(id, "GPL-3.0") {
		e = "Autoconf-exception-3.0"
	}
	if id == "" || e == "" {
		return ""
	}
	return id + " WITH " + e
}

// gnu is a licence of the FSF, "gpl-2+" or "gfdl-niv-1.3+", on SPDX's list.
func gnu(low string) string {
	family, rest, _ := strings.Cut(low, "-")
	versions := map[string]string{
		"gpl": " 1.0 2.0 3.0 ", "lgpl": " 2.0 2.1 3.0 ", "agpl": " 3.0 ", "gfdl": " 1.1 1.2 1.3 ",
	}[family]
	niv := ""
	if family == "gfdl" {
		rest, niv = cutEither(rest, "niv-", "-no-invariant", "-no-invariants")
	}
	version, later := strings.CutSuffix(rest, "+")
	if !later {
		version, later = strings.CutSuffix(rest, "-or-later")
	}
	version = strings.TrimSuffix(version, "-only")
	if len(version) == 1 {
		version += ".0"
	}
	if versions == "" || version == "" || !strings.Contains(versions, " "+version+" ") {
		return ""
	}
	end := "-only"
	if later {
		end = "-or-later"
	}
	return strings.ToUpper(family) + "-" + version + niv + end
}

// cutEither takes a prefix or one of the suffixes away, all of which say that a manual has no invariant sections.
func cutEither(s, prefix string, suffixes ...string) (rest, niv string) {
	const none = "-no-invariants"
	if rest, ok := strings.CutPrefix(s, prefix); ok {
		return rest, none
	}
	for _, suffix := range suffixes {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			return rest, none
		}
	}
	return s, ""
}
