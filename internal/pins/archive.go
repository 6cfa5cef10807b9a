package pins

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"strings"
)

// Archive is third-party source of an application: a file that its ukl.toml names. Its hash decides; where it is from does not
// matter.
type Archive struct {
	URL    string // http:, https: or file:, or a path in a Debian pool
	SHA256 string
}

// CheckURL tells what is wrong with the address of an archive; nil is nothing.
func CheckURL(address string) error {
	if strings.HasPrefix(address, "pool/") {
		if !only(address, lower+upper+digits+".+~_/-") || path.Clean(address) != address || path.Base(path.Dir(address)) == "." {
			return fmt.Errorf("%q is no path in a Debian pool", address)
		}
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil || strings.ContainsAny(address, " \x00\n"):
	case u.User != nil:
		return fmt.Errorf("%q holds a password, which would be in what is built", address)
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && len(u.Path) > 1, u.Scheme == "file" && u.Host == "" && len(u.Path) > 1:
		return nil
	}
	return fmt.Errorf("%q is no address of an archive: want https://HOST/FILE, http://, file:///FILE, or pool/... of a Debian mirror", address)
}

// CheckHash tells whether s can be a SHA-256.
func CheckHash(s string) error {
	if !isHash(s) {
		return fmt.Errorf("%q is no SHA-256, which has 64 digits 0-9 and a-f: `sha256sum FILE` prints it", s)
	}
	return nil
}

// pin is the archive as a pin. Only its hash is in the name that it has in the store: the same file has one place there.
func (a Archive) pin() Pin {
	p := Pin{Name: path.Base(a.URL), URL: a.URL, SHA256: a.SHA256, Groups: []string{"source"}}
	if strings.HasPrefix(a.URL, "pool/") {
		p.Path = a.URL
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

// Address is where anybody can fetch an archive; "" is not known: a pool has many mirrors, and a file of this machine is nobody's.
func (p Pin) Address() string {
	if strings.HasPrefix(p.URL, "http:") || strings.HasPrefix(p.URL, "https:") {
		return p.URL
	}
	return ""
}

// isPackage tells whether the pin is a Debian package, which apt may have.
func (p Pin) isPackage() bool { return p.URL == "" }

// largestArchive keeps a server from filling the disk; in bytes.
const largestArchive = 4 << 30

// addressed asks the addresses that pins have themselves.
func (f *fetch) addressed(ctx context.Context) error {
	for _, p := range f.of(func(p Pin) bool { return p.URL != "" && p.Path == "" }) {
		file, here := p.file()
		switch {
		case f.o.NoPublic || f.o.Mirror == NoMirror && !here:
			f.failed(p.URL, "is not to be asked")
			continue
		case here:
			if err := f.local(p, file); err != nil {
				return err
			}
			continue
		}
		f.from(p.URL)
		var lost *unreachable
		if err := f.get(ctx, p.URL, p.URL, p); err != nil && !errors.As(err, &lost) {
			return err
		}
	}
	return nil
}

// local copies the file that the pin itself names.
func (f *fetch) local(p Pin, file string) error {
	r, err := os.Open(file)
	if err != nil {
		f.failed(p.URL, "%v", err)
		return nil
	}
	defer r.Close()
	if err := checked(p, r, p.URL, f.path(p)); err != nil {
		return err
	}
	f.done(p)
	return nil
}
