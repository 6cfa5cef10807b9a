package pins

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// StoreDir is where Nix keeps everything. Another prefix would give other hashes, so it is not configurable.
const StoreDir = "/nix/store"

// Pin is one file of the lock, with the place in the store that its hash gives it.
type Pin struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Archive string `json:"archive,omitempty"` // of Debian: Main, Security or Backports; "" is no package
	Path    string `json:"path"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	URL     string `json:"url,omitempty"` // of an archive that an application names; "" is a Debian package
	dir     string // of that application
	// Groups are the trees and sources that need the pin.
	Groups []string `json:"groups"`

	snapshot string // when the lock was made; see Lock.Snapshot. "" is not known
}

// FileName is the pin's name in the store and in download folders. Nix allows no "~" in a name. nixexprs/deb.nix
// computes the same.
func (p Pin) FileName() string {
	if p.URL != "" {
		return archivePrefix + p.SHA256[:archiveDigits]
	}
	return strings.ReplaceAll(path.Base(p.Path), "~", "-")
}

// StorePath is the output path of the fixed-output derivation in nixexprs/deb.nix, known without Nix.
func (p Pin) StorePath() string { return fixedPath("flat", p.SHA256, p.FileName()) }

// archiveOf is the archive that a path is in: the pool of the security archive begins with "updates", and no other. At
// a mirror that keeps both in one place only the path tells them apart.
func archiveOf(path string) string {
	if strings.HasPrefix(path, "pool/updates/") {
		return Security
	}
	return Main
}

// String is how messages name a pin.
func (p Pin) String() string { return strings.TrimSuffix(p.Name+" "+p.Version, " ") }

// All returns the pins by name.
func (l *Lock) All() []Pin {
	var out []Pin
	for _, n := range slices.Sorted(maps.Keys(l.Packages)) {
		p := l.Packages[n]
		pin := Pin{
			Name: n, Version: p.Version, Archive: p.Archive, Path: p.Path, SHA256: p.SHA256, Size: p.Size,
			snapshot: l.Snapshot,
		}
		for _, t := range slices.Sorted(maps.Keys(l.Trees)) {
			if slices.Contains(l.Trees[t].Packages, n) {
				pin.Groups = append(pin.Groups, t)
			}
		}
		for _, s := range slices.Sorted(maps.Keys(l.Sources)) {
			if l.Sources[s] == n {
				pin.Groups = append(pin.Groups, s)
			}
		}
		out = append(out, pin)
	}
	return out
}

// Of returns the pins of one tree or source.
func (l *Lock) Of(group string) []Pin {
	return slices.DeleteFunc(l.All(), func(p Pin) bool { return !slices.Contains(p.Groups, group) })
}

// Paths are the store paths of everything that the lock names.
func (l *Lock) Paths() []string {
	var paths []string
	for _, p := range l.All() {
		paths = append(paths, p.StorePath())
	}
	for t := range l.Trees {
		paths = append(paths, l.TreePath(t))
	}
	return append(paths, l.Stage0Path(), l.GoPath(), l.ModulesPath())
}

// TreePath is the store path of an unpacked tree.
func (l *Lock) TreePath(tree string) string { return narPath(l.Trees[tree].NarHash, "tree-"+tree) }

// Stage0Path is the store path of the first builder.
func (l *Lock) Stage0Path() string { return narPath(l.Stage0.NarHash, "stage0") }

// ModulesPath is the store path of the Go modules that the flake builds with.
func (l *Lock) ModulesPath() string { return narPath(l.Modules.NarHash, "go-modules") }

// GoPath is the store path of the Go toolchain.
func (l *Lock) GoPath() string { return narPath(l.Go.NarHash, "source") }

func narPath(sri, name string) string {
	raw, err := FromSRI(sri)
	if err != nil {
		return ""
	}
	return fixedPath("nar", hex.EncodeToString(raw), name)
}

// fixedPath is Nix's rule for content-addressed paths: a hash of what the content is, shortened to 160 bits.
func fixedPath(mode, digits, name string) string {
	kind := "source:sha256:" + digits
	if mode == "flat" {
		inner := sha256.Sum256([]byte("fixed:out:sha256:" + digits + ":"))
		kind = "output:out:sha256:" + hex.EncodeToString(inner[:])
	}
	full := sha256.Sum256([]byte(fmt.Sprintf("%s:%s:%s", kind, StoreDir, name)))
	var short [20]byte
	for i, b := range full {
		short[i%20] ^= b
	}
	return StoreDir + "/" + base32(short[:]) + "-" + name
}

// base32 is Nix's: its own digits (no e, o, t, u), least significant last bits first.
func base32(raw []byte) string {
	const digits = "0123456789abcdfghijklmnpqrsvwxyz"
	var out strings.Builder
	for n := (len(raw)*8-1)/5 + 1; n > 0; n-- {
		bit := (n - 1) * 5
		v := uint(raw[bit/8]) >> (bit % 8)
		if next := bit/8 + 1; next < len(raw) {
			v |= uint(raw[next]) << (8 - bit%8)
		}
		out.WriteByte(digits[v&31])
	}
	return out.String()
}
