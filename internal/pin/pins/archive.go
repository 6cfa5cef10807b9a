package pins

import (
	"fmt"
	"net/url"
	"path"
	"strings"
)

// Archive is third-party source of an application: a file that its ukl.toml names. Its hash decides; where it is from
// does not matter.
type Archive struct {
	URL    string // http:, https: or file:, or a path in a Debian pool
	SHA256 string
}

// CheckURL tells what is wrong with the address of an archive; nil is nothing.
func CheckURL(address string) error {
	if strings.HasPrefix(address, "pool/") {
		if !only(address, lower+upper+digits+".+~_/-") || path.Clean(address) != address ||
			path.Base(path.Dir(address)) == "." {
			return fmt.Errorf("%q is not a path in a Debian pool", address)
		}
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || strings.ContainsAny(address, " \x00\n"):
	case u.User != nil:
		return fmt.Errorf("%q contains a password, which would get into the build", address)
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(u.Path) > 1, u.Scheme == "file" &&
		u.Host == "" && len(u.Path) > 1:
		return nil
	}
	return fmt.Errorf("%q is not the address of an archive: want https://HOST/FILE, http://, file:///FILE, or pool/... "+
		"of a Debian mirror", address)
}

// CheckHash tells whether s can be a SHA-256.
func CheckHash(s string) error {
	if !isHash(s) {
		return fmt.Errorf("%q is not a SHA-256 of 64 digits 0-9 and a-f: `sha256sum FILE` prints it", s)
	}
	return nil
}

// pin is the archive as a pin. Only its hash is in the name that it has in the store: the same file has one place
// there.
func (a Archive) pin() Pin {
	p := Pin{Name: path.Base(a.URL), URL: a.URL, SHA256: a.SHA256, Groups: []string{"source"}}
	if strings.HasPrefix(a.URL, "pool/") {
		p.Path, p.Archive = a.URL, archiveOf(a.URL)
	} else if u, err := url.Parse(a.URL); err == nil {
		p.Name = path.Base(u.Path)
	}
	return p
}

// archivePrefix is the beginning of an archive's name in the store. nixexprs/archive.nix has the same.
const archivePrefix = "archive-"

// IsArchive tells whether a derivation's name is that of an archive.
func IsArchive(derivation string) bool {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(derivation, ".drv"), archivePrefix)
	return ok && len(digits) == archiveDigits && only(digits, "0123456789abcdef")
}

const archiveDigits = 12

// file tells whether the pin is a file of this machine, and where.
func (p Pin) file() (string, bool) {
	u, err := url.Parse(p.URL)
	if p.URL == "" || err != nil || u.Scheme != "file" {
		return "", false
	}
	return u.Path, true
}

// Address is where anybody can fetch an archive; "" is not known: a pool has many mirrors, and a file of this machine
// is nobody's.
func (p Pin) Address() string {
	if strings.HasPrefix(p.URL, "http:") || strings.HasPrefix(p.URL, "https:") {
		return p.URL
	}
	return ""
}
