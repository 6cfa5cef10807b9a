// Package pins reads and writes the lock of external inputs and puts them into the Nix store. A pin names a file by
// SHA-256, its archive and its path there, never a host, so any source will do and none is trusted. Writing replaces
// the lock whole or not at all; a lock of a newer version is refused.
package pins

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
)

// Version is the lock format that this package writes. Version 1 knew neither archives nor snapshots; an application's
// lock of it is still read.
const Version = 2

// Archives of Debian that a package's path can belong to. Security is an archive of its own; packages of Backports
// share the pool of Main.
const (
	Main      = "main"
	Security  = "security"
	Backports = "backports"
)

// File is the lock's name inside nixexprs.
const File = "pins.json"

// Lock is the whole of pins.json.
type Lock struct {
	Suite        string
	Architecture string
	// Snapshot is when the packages were the newest, as the snapshot archive of Debian writes it: 20060102T150405Z.
	Snapshot string
	Go       Toolchain
	Modules  Modules
	Stage0   Nar
	Trees    map[string]Tree    // unpacked and merged packages, by name
	Sources  map[string]string  // part ("linux") to the package that it is made from
	Packages map[string]Package // by package name
}

// Package is one Debian package as the pool has it.
type Package struct {
	Version string `json:"version"`
	Archive string `json:"archive"` // Main, Security or Backports
	Path    string `json:"path"`    // relative to a mirror of the archive: pool/...
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
}

// Tree is a fixed-output derivation made of packages.
type Tree struct {
	NarHash  string   `json:"narHash"`
	Packages []string `json:"packages"`
}

// Nar is a store path that only its content pins.
type Nar struct {
	NarHash string `json:"narHash"`
}

// Modules are the Go modules of go.sum. GoSum is the hash of the go.sum that NarHash was measured with.
type Modules struct {
	GoSum   string `json:"goSum"`
	NarHash string `json:"narHash"`
}

// Toolchain is the Go toolchain: the module golang.org/toolchain, unpacked. The archive of the same release has all of
// its files.
type Toolchain struct {
	Version string `json:"version"`
	Archive string `json:"archive"` // SHA-256 of go<Version>.linux-amd64.tar.gz, as published
	NarHash string `json:"narHash"`
}

// SyntaxError is an error in a lock's text.
type SyntaxError struct {
	File         string
	Line, Column int
	Text         string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Text)
}

// ExitCode is the code of a command that this ends.
func (*SyntaxError) ExitCode() exit.Code { return exit.Input }

// document is the lock's layout on disk.
type document struct {
	Version      int                        `json:"version"`
	About        string                     `json:"about"`
	Suite        string                     `json:"suite"`
	Architecture string                     `json:"architecture"`
	Snapshot     string                     `json:"snapshot"`
	Go           Toolchain                  `json:"go"`
	Modules      Modules                    `json:"modules"`
	Stage0       Nar                        `json:"stage0"`
	Trees        map[string]Tree            `json:"trees"`
	Sources      map[string]string          `json:"sources"`
	Packages     map[string]json.RawMessage `json:"packages"`
}

const about = "Made by: ukl pins update. A pin is trusted for its SHA-256 alone. See docs/pins.md."

// Load reads the lock from fsys (nixexprs, embedded or on disk).
func Load(fsys fs.FS) (*Lock, error) {
	b, err := fs.ReadFile(fsys, File)
	if err != nil {
		return nil, err
	}
	return Parse(File, b)
}

// Parse reads a lock's text; name stands in errors.
func Parse(name string, text []byte) (*Lock, error) {
	var d document
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		// A newer lock may well have unknown fields: its version is the better message.
		var v struct{ Version int }
		if json.Unmarshal(text, &v) == nil && v.Version > Version {
			return nil, newer(name, text, v.Version)
		}
		return nil, position(name, text, dec.InputOffset(), err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, at(name, text, dec.InputOffset(), "text after the lock's end")
	}
	switch {
	case d.Version > Version:
		return nil, newer(name, text, d.Version)
	case d.Version != Version:
		return nil, find(name, text, `"version"`, fmt.Sprintf("no version, or not %d", Version))
	}
	l := &Lock{
		Suite: d.Suite, Architecture: d.Architecture, Snapshot: d.Snapshot, Go: d.Go, Modules: d.Modules, Stage0: d.Stage0,
		Trees:   d.Trees,
		Sources: d.Sources, Packages: map[string]Package{},
	}
	for n, raw := range d.Packages {
		var p Package
		pd := json.NewDecoder(bytes.NewReader(raw))
		pd.DisallowUnknownFields()
		if err := pd.Decode(&p); err != nil {
			return nil, find(name, text, `"`+n+`": {`, err.Error())
		}
		l.Packages[n] = p
	}
	if bad := l.check(); bad != nil {
		return nil, find(name, text, bad.near, bad.text)
	}
	return l, nil
}

type flaw struct{ near, text string }

// Written out, since every run of ukl reads the lock and patterns would be compiled for it.
const (
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits = "0123456789"
)

// only tells whether s is at least one character, all of them of the set.
func only(s, set string) bool {
	return s != "" && strings.Trim(s, set) == ""
}

func isHash(s string) bool { return len(s) == 64 && only(s, digits+"abcdef") }

func isPackage(s string) bool {
	return len(s) > 1 && only(s[:1], lower+digits) && only(s, lower+digits+"+.-")
}

func isVersion(s string) bool {
	epoch, rest, ok := strings.Cut(s, ":")
	return ok && only(epoch, digits) && only(rest, lower+upper+digits+".+~-") || !ok && only(s, lower+upper+digits+".+~-")
}

func isPoolPath(s string) bool {
	inside, ok := strings.CutPrefix(s, "pool/")
	name, deb := strings.CutSuffix(inside, ".deb")
	return ok && deb && only(name, lower+upper+digits+".+~_/-") && path.Clean(s) == s
}

// stamp is how the snapshot archive writes a time.
const stamp = "20060102T150405Z"

func isSnapshot(s string) bool {
	_, err := time.Parse(stamp, s)
	return err == nil
}

// check finds what no mirror could serve or no store could hold. Names go into command lines and paths: be strict.
func (l *Lock) check() *flaw {
	if bad := l.checkEach(); bad != nil {
		return bad
	}
	return l.checkWhole()
}

// checkEach looks at the packages alone.
func (l *Lock) checkEach() *flaw {
	for _, n := range slices.Sorted(maps.Keys(l.Packages)) {
		p, near := l.Packages[n], `"`+n+`": {`
		switch {
		case !isPackage(n):
			return &flaw{near, fmt.Sprintf("%q is not a package name", n)}
		case !isVersion(p.Version):
			return &flaw{near, fmt.Sprintf("%s: %q is not a version", n, p.Version)}
		case p.Archive != Main && p.Archive != Security && p.Archive != Backports:
			return &flaw{near, fmt.Sprintf("%s: %q is not an archive: want %s, %s or %s", n, p.Archive, Main, Security,
				Backports)}
		case !isPoolPath(p.Path):
			return &flaw{near, fmt.Sprintf("%s: %q is not a path in a pool", n, p.Path)}
		case !isHash(p.SHA256):
			return &flaw{near, fmt.Sprintf("%s: %q is not a SHA-256", n, p.SHA256)}
		case p.Size <= 0:
			return &flaw{near, fmt.Sprintf("%s: size %d", n, p.Size)}
		}
	}
	return nil
}

// checkWhole looks at what refers to packages, and at the hashes of outputs.
func (l *Lock) checkWhole() *flaw {
	if !isSnapshot(l.Snapshot) {
		return &flaw{`"snapshot"`, fmt.Sprintf("%q is not the time of a snapshot: want 20060102T150405Z", l.Snapshot)}
	}
	if !isVersion(l.Go.Version) {
		return &flaw{`"go"`, fmt.Sprintf("go: %q is not a version", l.Go.Version)}
	}
	if !isHash(l.Go.Archive) {
		return &flaw{`"go"`, fmt.Sprintf("go: archive: %q is not a SHA-256", l.Go.Archive)}
	}
	for _, t := range slices.Sorted(maps.Keys(l.Trees)) {
		for _, n := range l.Trees[t].Packages {
			if _, ok := l.Packages[n]; !ok {
				return &flaw{`"` + n + `"`, fmt.Sprintf("tree %s: package %s has no pin", t, n)}
			}
		}
	}
	for _, s := range slices.Sorted(maps.Keys(l.Sources)) {
		if _, ok := l.Packages[l.Sources[s]]; !ok {
			return &flaw{`"` + l.Sources[s] + `"`, fmt.Sprintf("source %s: package %s has no pin", s, l.Sources[s])}
		}
	}
	hashes := map[string]string{"go": l.Go.NarHash, "modules": l.Modules.NarHash, "stage0": l.Stage0.NarHash}
	for n, t := range l.Trees {
		hashes[n] = t.NarHash
	}
	for _, n := range slices.Sorted(maps.Keys(hashes)) {
		if _, err := FromSRI(hashes[n]); err != nil {
			return &flaw{`"` + n + `"`, fmt.Sprintf("%s: %v", n, err)}
		}
	}
	return nil
}

func newer(name string, text []byte, v int) error {
	return find(name, text, `"version"`, fmt.Sprintf("lock version %d is newer than this ukl, which reads version %d", v,
		Version))
}

func position(name string, text []byte, offset int64, err error) error {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = max(0, syntax.Offset-1) // it counts the wrong byte, too
	case errors.As(err, &kind):
		offset = kind.Offset
	case errors.Is(err, io.ErrUnexpectedEOF):
		offset = int64(len(text))
	}
	return at(name, text, offset, strings.TrimPrefix(err.Error(), "json: "))
}

func find(name string, text []byte, near, what string) error {
	return at(name, text, int64(max(0, bytes.Index(text, []byte(near)))), what)
}

func at(name string, text []byte, offset int64, what string) error {
	head := text[:min(int(offset), len(text))]
	line := bytes.Count(head, []byte("\n")) + 1
	return &SyntaxError{name, line, len(head) - bytes.LastIndexByte(head, '\n'), what}
}

// Format renders the lock: sorted, one package a line, so that a diff shows what changed.
func (l *Lock) Format() ([]byte, error) {
	var b bytes.Buffer
	str := func(v any) string {
		var s bytes.Buffer
		e := json.NewEncoder(&s)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			panic(err) // strings and structs of strings always encode
		}
		return strings.TrimSpace(s.String())
	}
	fmt.Fprintf(&b, "{\n  \"version\": %d,\n  \"about\": %s,\n  \"suite\": %s,\n  \"architecture\": %s,\n  "+
		"\"snapshot\": %s,\n",
		Version, str(about), str(l.Suite), str(l.Architecture), str(l.Snapshot))
	fmt.Fprintf(&b, "  \"go\": %s,\n  \"modules\": %s,\n  \"stage0\": %s,\n  \"trees\": {\n", str(l.Go), str(l.Modules),
		str(l.Stage0))
	trees := slices.Sorted(maps.Keys(l.Trees))
	for i, n := range trees {
		fmt.Fprintf(&b, "    %s: {\n      \"narHash\": %s,\n      \"packages\": [\n", str(n), str(l.Trees[n].NarHash))
		names := slices.Sorted(slices.Values(l.Trees[n].Packages))
		for j, p := range names {
			fmt.Fprintf(&b, "        %s%s\n", str(p), comma(j, len(names)))
		}
		fmt.Fprintf(&b, "      ]\n    }%s\n", comma(i, len(trees)))
	}
	b.WriteString("  },\n  \"sources\": {\n")
	sources := slices.Sorted(maps.Keys(l.Sources))
	for i, n := range sources {
		fmt.Fprintf(&b, "    %s: %s%s\n", str(n), str(l.Sources[n]), comma(i, len(sources)))
	}
	b.WriteString("  },\n  \"packages\": {\n")
	names := slices.Sorted(maps.Keys(l.Packages))
	for i, n := range names {
		p := l.Packages[n]
		fmt.Fprintf(&b, "    %s: {\"version\": %s, \"archive\": %s, \"path\": %s, \"sha256\": %s, \"size\": %d}%s\n",
			str(n), str(p.Version), str(p.Archive), str(p.Path), str(p.SHA256), p.Size, comma(i, len(names)))
	}
	b.WriteString("  }\n}\n")
	if _, err := Parse(File, b.Bytes()); err != nil {
		return nil, fmt.Errorf("refusing to write a lock that does not parse: %v", err)
	}
	return b.Bytes(), nil
}

func comma(i, n int) string {
	if i == n-1 {
		return ""
	}
	return ","
}

// Write replaces the lock in the directory dir, atomically.
func (l *Lock) Write(dir string) error {
	text, err := l.Format()
	if err != nil {
		return err
	}
	return atomicfile.File(filepath.Join(dir, File), text, 0o644)
}

// FromSRI turns "sha256-<base64>" into the raw hash.
func FromSRI(s string) ([]byte, error) {
	b64, ok := strings.CutPrefix(s, "sha256-")
	raw, err := base64.StdEncoding.DecodeString(b64)
	if !ok || err != nil || len(raw) != 32 {
		return nil, fmt.Errorf("%q is not a sha256-... hash", s)
	}
	return raw, nil
}

// ToSRI turns 64 hexadecimal digits into "sha256-<base64>".
func ToSRI(digits string) (string, error) {
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != 32 {
		return "", fmt.Errorf("%q is not a SHA-256", digits)
	}
	return "sha256-" + base64.StdEncoding.EncodeToString(raw), nil
}
