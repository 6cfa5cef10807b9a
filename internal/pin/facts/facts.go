// Package facts reads what a Debian package says of itself: its source, its maintainer, its licence, and the files that
// a compiler or linker can take from it. Facts follow from the package's bytes alone. Those of the pinned tools come
// along with ukl, so nobody needs the packages to know them.
package facts

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"ukl/internal/pin/deb"
)

// Facts are what one package says. Paths have no slash at their beginning, and /lib is usr/lib, as in a tree.
type Facts struct {
	Source        string `json:"source"`             // the source package's name
	SourceVersion string `json:"sourceVersion"`      // and version
	Maintainer    string `json:"maintainer"`         // as the control file has it: Name <address>
	Homepage      string `json:"homepage,omitempty"` // upstream's
	// an SPDX expression; "" if the copyright file is another package's or none
	License string `json:"license,omitempty"`
	// Refs are the texts of the licences of the expression that are not on SPDX's list, by their names: keys of
	// Set.Texts.
	Refs map[string]string `json:"refs,omitempty"`
	// FreeForm tells that no machine can read the copyright file: the expression only names it.
	FreeForm bool           `json:"freeForm,omitempty"`
	Copied   string         `json:"copied,omitempty"`   // the package that has this one's copyright file; "" is itself
	Archives map[string]int `json:"archives,omitempty"` // static libraries and how many members they have
	Objects  []string       `json:"objects,omitempty"`
	Headers  []string       `json:"headers,omitempty"`
	Shared   []string       `json:"shared,omitempty"` // shared libraries, without the links to them
}

// Set are the facts of packages, by the SHA-256 of their files. Texts are shared: many packages have the copyright file
// of their source. Those of the tools' packages do not come along.
type Set struct {
	Packages map[string]Facts  `json:"packages"`
	Texts    map[string]string `json:"texts"`
}

// NewSet is one without facts.
func NewSet() *Set { return &Set{map[string]Facts{}, map[string]string{}} }

// Limits of one package.
const (
	maxBytes     = 4 << 30
	maxControl   = 16 << 20
	maxCopyright = 4 << 20
)

// Add reads a package and keeps its facts under the SHA-256 of its file.
func (s *Set) Add(name, sum string, r io.ReadSeeker) error {
	f, texts, err := read(name, r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.Packages[sum] = f
	for key, text := range texts {
		s.Texts[key] = text
	}
	return nil
}

func read(name string, r io.ReadSeeker) (Facts, map[string]string, error) {
	fields, err := control(r)
	if err != nil {
		return Facts{}, nil, err
	}
	f := Facts{
		Source: name, SourceVersion: fields["version"], Maintainer: fields["maintainer"],
		Homepage: fields["homepage"],
	}
	// Source: NAME, or NAME (VERSION) where the binary's version is another one.
	if source, version, _ := strings.Cut(fields["source"], " "); source != "" {
		f.Source = source
		if version = strings.Trim(version, "()"); version != "" {
			f.SourceVersion = version
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return Facts{}, nil, err
	}
	text, err := f.files(name, r)
	if err != nil || text == "" {
		return f, nil, err
	}
	c := parseCopyright(text, f.Source)
	f.License, f.FreeForm = c.expression, c.freeForm
	texts := map[string]string{}
	for ref, text := range c.texts {
		key := textKey(text)
		if f.Refs == nil {
			f.Refs = map[string]string{}
		}
		f.Refs[ref], texts[key] = key, text
	}
	return f, texts, nil
}

// textKey names a text by its content, short enough to read.
func textKey(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// control reads the fields of a package's control file, by their names in lower case.
func control(r io.ReadSeeker) (map[string]string, error) {
	in, err := controlAsData(r)
	if err != nil {
		return nil, err
	}
	t, err := deb.Data(in, maxControl)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	for {
		h, err := t.Next()
		if err == io.EOF {
			return nil, errors.New("no control file")
		}
		if err != nil {
			return nil, fmt.Errorf("control: %w", err)
		}
		if path.Clean(h.Name) != "control" {
			continue
		}
		text, err := io.ReadAll(t)
		if err != nil {
			return nil, err
		}
		all := paragraphs(string(text))
		if len(all) == 0 || all[0]["version"] == "" {
			return nil, errors.New("control: no version")
		}
		return all[0], nil
	}
}

// arHeader is the size of an ar archive's header of a member, and arMagic how the archive begins.
const (
	arHeader = 60
	arMagic  = "!<arch>\n"
)

// controlAsData is the package with its control archive under the name of the data archive, which is what package deb
// reads.
func controlAsData(r io.ReadSeeker) (io.Reader, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	head := make([]byte, len(arMagic)+arHeader)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, errors.New("not an ar archive")
	}
	size, err := strconv.Atoi(strings.TrimSpace(string(head[len(arMagic)+48 : len(arMagic)+58])))
	if err != nil || size < 0 || size > 64 {
		return nil, errors.New("no debian-binary member")
	}
	rest := make([]byte, size+size%2+arHeader)
	if _, err := io.ReadFull(r, rest); err != nil {
		return nil, errors.New("no control member")
	}
	member := rest[size+size%2:]
	suffix, ok := strings.CutPrefix(strings.TrimRight(string(member[:16]), " /"), "control")
	if !ok {
		return nil, errors.New("no control member")
	}
	copy(member, fmt.Sprintf("%-16s", "data"+suffix))
	return io.MultiReader(bytes.NewReader(head), bytes.NewReader(rest), r), nil
}

// files lists what a compiler or linker can take, and returns the copyright file's text.
func (f *Facts) files(name string, r io.Reader) (copyright string, err error) {
	t, err := deb.Data(r, maxBytes)
	if err != nil {
		return "", err
	}
	directory := "usr/share/doc/" + name
	for {
		h, err := t.Next()
		if err == io.EOF {
			f.sort()
			return copyright, nil
		}
		if err != nil {
			return "", err
		}
		at := inTree(h.Name)
		link := h.Typeflag == tar.TypeSymlink
		switch {
		case link && at == directory, link && at == directory+"/copyright":
			target := path.Join(path.Dir(at), h.Linkname)
			f.Copied = path.Base(strings.TrimSuffix(target, "/copyright"))
		case at == directory+"/copyright":
			text, err := io.ReadAll(io.LimitReader(t, maxCopyright))
			if err != nil {
				return "", err
			}
			copyright = string(text)
		case h.Typeflag != tar.TypeReg && !link:
		case strings.HasSuffix(at, ".a"):
			n, err := members(t)
			if err != nil {
				return "", fmt.Errorf("%s: %w", at, err)
			}
			if f.Archives == nil {
				f.Archives = map[string]int{}
			}
			f.Archives[at] = n
		case !link && shared(path.Base(at)):
			f.Shared = append(f.Shared, at)
		case strings.HasSuffix(at, ".o"):
			f.Objects = append(f.Objects, at)
		case strings.Contains(at, "/include/"):
			f.Headers = append(f.Headers, at)
		}
	}
}

// shared tells whether a file has the name of a shared library: NAME.so, or NAME.so.VERSION.
func shared(file string) bool {
	_, version, ok := strings.Cut(file, ".so")
	return ok && (version == "" || strings.HasPrefix(version, "."))
}

func (f *Facts) sort() {
	slices.Sort(f.Shared)
	slices.Sort(f.Objects)
	slices.Sort(f.Headers)
}

// inTree is where a tree has a package's file: package tree merges the directories at the top into usr.
func inTree(name string) string {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	for _, top := range []string{"bin/", "lib/", "lib32/", "lib64/", "libx32/", "sbin/"} {
		if strings.HasPrefix(name, top) {
			return "usr/" + name
		}
	}
	return name
}

// Path is where facts have the file that a linker or debugging information names.
func Path(name string) string { return inTree(name) }

// members counts the object files of a static library; a text file that stands for one, as libm.a, has none.
func members(r io.Reader) (n int, err error) {
	br := bufio.NewReader(r)
	magic := make([]byte, len(arMagic))
	if _, err := io.ReadFull(br, magic); err != nil || string(magic) != arMagic {
		return 0, nil
	}
	for {
		head := make([]byte, arHeader)
		if _, err := io.ReadFull(br, head); err == io.EOF {
			return n, nil
		} else if err != nil {
			return 0, errors.New("the archive ends inside a header")
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(head[48:58])), 10, 64)
		if err != nil || size < 0 {
			return 0, errors.New("bad size of a member")
		}
		switch strings.TrimSpace(string(head[:16])) {
		case "/", "//", "/SYM64/": // indices
		default:
			n++
		}
		if _, err := io.CopyN(io.Discard, br, size+size%2); err != nil && err != io.EOF {
			return 0, errors.New("the archive ends inside a member")
		}
	}
}
