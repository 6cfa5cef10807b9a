package facts

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

const machine = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"

func TestLicences(t *testing.T) {
	for text, want := range map[string]string{
		"Files: *\nLicense: Zlib\n\nFiles: debian/*\nLicense: GPL-3+\n":                  "Zlib",
		"Files: *\nLicense: GPL-2\n\nFiles: a\nLicense: GPL-2+ or Artistic\n":            "GPL-2.0-only AND (GPL-2.0-or-later OR Artistic-1.0-Perl)",
		"Files: *\nLicense: GPL-1+ or Artistic, and Expat\n":                             "(GPL-1.0-or-later OR Artistic-1.0-Perl) AND MIT",
		"Files: *\nLicense: GPL-3+ with Bison exception\n":                               "GPL-3.0-or-later WITH Bison-exception-2.2",
		"Files: *\nLicense: GPL-3+ with Autoconf exception\n":                            "GPL-3.0-or-later WITH Autoconf-exception-3.0",
		"Files: *\nLicense: GFDL-NIV-1.3+ and LGPL-2.1\n":                                "GFDL-1.3-no-invariants-or-later AND LGPL-2.1-only",
		"License: Apache-2.0\n\nFiles: x/*\nLicense: ISC\n":                              "Apache-2.0 AND ISC",
		"Files: *\nLicense: public-domain\n\nLicense: public-domain\n Nobody owns it.\n": "LicenseRef-Debian-p-public-domain",
		"Files: *\nLicense: GPL\n":                                                       "LicenseRef-Debian-p-GPL",
		"Files: *\nLicense: GPL-2+ with OpenSSL exception\n":                             "LicenseRef-Debian-p-GPL-2--with-OpenSSL-exception",
	} {
		if i := strings.Index(text, "License: Apache"); i == 0 { // of the paragraph at the head
			text = strings.TrimSuffix(machine, "\n") + text
		} else {
			text = machine + text
		}
		c := parseCopyright(text, "p")
		if c.expression != want || c.freeForm {
			t.Errorf("%s\n got %s\nwant %s", text, c.expression, want)
		}
		for _, word := range strings.FieldsFunc(c.expression, func(r rune) bool { return strings.ContainsRune(" ()", r) }) {
			if strings.HasPrefix(word, "LicenseRef-") && c.texts[word] == "" {
				t.Errorf("%s has no text", word)
			}
		}
	}
}

// A text that the file has is taken as it is; one that it does not have is said to be missing.
func TestTexts(t *testing.T) {
	c := parseCopyright(machine+"Files: *\nLicense: own\n\nLicense: own\n Take it.\n .\n Give it.\n", "p")
	if got := c.texts["LicenseRef-Debian-p-own"]; got != "Take it.\n\nGive it." {
		t.Errorf("%q", got)
	}
	c = parseCopyright(machine+"Files: *\nLicense: own\n", "p")
	if got := c.texts["LicenseRef-Debian-p-own"]; !strings.Contains(got, "has no text") {
		t.Errorf("%q", got)
	}
}

// What no machine can read is one licence, with all its text.
func TestFreeForm(t *testing.T) {
	const text = "This is libc.\n\nLicense: LGPL, mostly.\n"
	c := parseCopyright(text, "glibc")
	if !c.freeForm || c.expression != "LicenseRef-Debian-glibc-copyright" || c.texts[c.expression] != text {
		t.Errorf("%+v", c)
	}
}

func TestGNU(t *testing.T) {
	for low, want := range map[string]string{
		"gpl-2": "GPL-2.0-only", "gpl-2.0+": "GPL-2.0-or-later", "lgpl-2.1": "LGPL-2.1-only", "lgpl-2+": "LGPL-2.0-or-later",
		"agpl-3": "AGPL-3.0-only", "gfdl-1.3+-no-invariant": "GFDL-1.3-no-invariants-or-later", "gpl-4": "", "gpl": "",
		"lgpl-1": "", "gfdl-niv-1.2": "GFDL-1.2-no-invariants-only",
		"gfdl-1.2-no-invariants": "GFDL-1.2-no-invariants-only", "gpl-2-only": "GPL-2.0-only",
		"gpl-3.0-or-later": "GPL-3.0-or-later", "bsd-2": "",
	} {
		if got := gnu(low); got != want {
			t.Errorf("%s: %q, want %q", low, got, want)
		}
	}
}

func TestParagraphs(t *testing.T) {
	p := paragraphs("A: b\nC:\n d\n .\n e\n# no\n\n\nF: g\n continued\nno field\n")
	if len(p) != 2 || p[0]["a"] != "b" || p[0]["c"] != "\nd\n\ne" || p[1]["f"] != "g\ncontinued" {
		t.Errorf("%q", p)
	}
}

// Every licence and exception that is known by name is written as on SPDX's list: letters, digits, "." and "-".
func TestIDs(t *testing.T) {
	for _, id := range slices.Concat(slices.Collect(maps.Values(ids)), slices.Collect(maps.Values(exceptions))) {
		if strings.ContainsFunc(id, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-')
		}) {
			t.Errorf("%q", id)
		}
	}
}

func FuzzCopyright(f *testing.F) {
	f.Add(machine + "Files: *\nLicense: GPL-2+ or Artistic, and Expat with x exception\n")
	f.Add("x")
	f.Fuzz(func(t *testing.T, text string) {
		if c := parseCopyright(text, "p"); c.expression == "" {
			t.Errorf("no licence of %q", text)
		}
	})
}
