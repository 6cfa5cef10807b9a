package sbom

import (
	"regexp"
	"strings"
)

// vendors are the names under which the National Vulnerability Database has the software of Debian's source packages:
// part, vendor and product of a CPE, as its advisories write them. A package that is not here may be there under any
// name.
var vendors = map[string]string{
	"bash": "a:gnu:bash", "binutils": "a:gnu:binutils", "bison": "a:gnu:bison",
	"bzip2": "a:bzip:bzip2", "coreutils": "a:gnu:coreutils", "cpio": "a:gnu:cpio", "curl": "a:haxx:curl",
	"diffutils": "a:gnu:diffutils",
	"elfutils":  "a:elfutils_project:elfutils", "expat": "a:libexpat_project:libexpat", "file": "a:file_project:file",
	"findutils": "a:gnu:findutils", "gawk": "a:gnu:gawk", "gcc-12": "a:gnu:gcc", "glibc": "a:gnu:glibc",
	"gmp": "a:gmplib:gmp", "grep": "a:gnu:grep", "gzip": "a:gnu:gzip", "jansson": "a:jansson_project:jansson",
	"krb5": "a:mit:kerberos_5", "libevent": "a:libevent_project:libevent", "libtirpc": "a:libtirpc_project:libtirpc",
	"libzstd": "a:facebook:zstandard", "linux": "o:linux:linux_kernel",
	"lz4": "a:lz4_project:lz4", "m4": "a:gnu:m4", "make-dfsg": "a:gnu:make", "ncurses": "a:gnu:ncurses",
	"openssl": "a:openssl:openssl", "patch": "a:gnu:patch", "pcre2": "a:pcre:pcre2", "perl": "a:perl:perl",
	"python3.11": "a:python:python", "readline": "a:gnu:readline", "sed": "a:gnu:sed",
	"sqlite3": "a:sqlite:sqlite", "tar": "a:gnu:tar", "xz-utils": "a:tukaani:xz", "zlib": "a:zlib:zlib",
}

var (
	repacked = regexp.MustCompile(`[+.~]?(dfsg|ds|repack)[0-9.]*$`)
	modified = regexp.MustCompile(`[+~].*$`)
)

// upstream is the version that upstream gave, of one in Debian: without epoch, revision, and what repacking added.
func upstream(version string) string {
	if _, rest, ok := strings.Cut(version, ":"); ok {
		version = rest
	}
	if i := strings.LastIndexByte(version, '-'); i > 0 {
		version = version[:i]
	}
	version = repacked.ReplaceAllString(version, "")
	if v := modified.ReplaceAllString(version, ""); v != "" {
		version = v
	}
	return version
}

// cpe is the component's name in the database of vulnerabilities. known tells whether the database has it under that
// name; else it is made of the component's own name, as scanners do, and only a candidate. "" is none.
func (c Component) cpe() (name string, known bool) {
	part, version := "", c.Version
	switch {
	case c.Module == "golang" && c.Name == stdlib:
		part, known = "a:golang:go", true
	case c.Module == "golang":
		// host/owner/repository, as most have it
		f := strings.Split(c.Name, "/")
		if len(f) < 3 {
			return "", false
		}
		part, version = "a:"+escapeCPE(f[1])+":"+escapeCPE(f[2]), strings.TrimPrefix(version, "v")
	case c.Module != "":
		part = "a:" + escapeCPE(c.Name) + ":" + escapeCPE(c.Name)
	case c.Package == "":
		return "", false
	default:
		if part, known = vendors[c.Source]; !known {
			own := escapeCPE(c.Source)
			part = "a:" + own + ":" + own
		}
		version = upstream(c.SourceVersion)
	}
	if version == "" {
		return "", false
	}
	return "cpe:2.3:" + part + ":" + escapeCPE(version) + ":*:*:*:*:*:*:*", known
}

// escapeCPE writes a value into a formatted string: all signs but three stand behind a backslash.
func escapeCPE(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
		default:
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}
