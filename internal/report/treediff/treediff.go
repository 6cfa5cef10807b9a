// Package treediff finds where two trees of files that ought to be the same are not: for each file the first byte, and
// in what part of an ELF file or an archive it lies. Owners and times are no difference. It only reads.
package treediff

import (
	"bufio"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Place is one difference.
type Place struct {
	File   string `json:"file"` // relative to the trees
	What   string `json:"what"`
	Offset int64  `json:"offset"`         // of the first byte that differs; -1 if it is not the content
	Part   string `json:"part,omitempty"` // of the file: a section, a member
}

func (p Place) String() string {
	s := p.File + ": "
	if p.Part != "" {
		s += p.Part + ": "
	}
	return s + p.What
}

// Find returns the places, ordered by file.
func Find(first, second string) ([]Place, error) {
	a, err := list(first)
	if err != nil {
		return nil, err
	}
	b, err := list(second)
	if err != nil {
		return nil, err
	}
	names := maps.Clone(a)
	maps.Copy(names, b)
	var places []Place
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p, err := compare(name, filepath.Join(first, name), filepath.Join(second, name), a[name], b[name])
		if err != nil {
			return places, err
		}
		if p != nil {
			places = append(places, *p)
		}
	}
	return places, nil
}

func list(root string) (map[string]fs.FileInfo, error) {
	files := map[string]fs.FileInfo{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files[name], err = d.Info()
		return err
	})
	return files, err
}

func compare(name, first, second string, a, b fs.FileInfo) (*Place, error) {
	other := func(format string, args ...any) (*Place, error) {
		return &Place{File: name, What: fmt.Sprintf(format, args...), Offset: -1}, nil
	}
	switch {
	case a == nil:
		return other("only in the second build")
	case b == nil:
		return other("only in the first build")
	case a.Mode() != b.Mode():
		return other("mode %v in the first build, %v in the second", a.Mode(), b.Mode())
	case a.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(first)
		if err != nil {
			return nil, err
		}
		now, err := os.Readlink(second)
		if err != nil || to == now {
			return nil, err
		}
		return other("points to %s in the first build, to %s in the second", to, now)
	case !a.Mode().IsRegular():
		return nil, nil
	}
	at, x, y, err := content(first, second)
	if err != nil || at < 0 {
		return nil, err
	}
	p := &Place{File: name, Offset: at, Part: part(first, at)}
	p.What = fmt.Sprintf("byte %d is %s in the first build, %s in the second", at, x, y)
	if a.Size() != b.Size() {
		p.What += fmt.Sprintf("; %d and %d bytes long", a.Size(), b.Size())
	}
	return p, nil
}

// content returns the first offset at which two files differ, and the bytes there; -1 if they do not.
func content(first, second string) (at int64, x, y string, err error) {
	a, err := os.Open(first)
	if err != nil {
		return 0, "", "", err
	}
	defer a.Close()
	b, err := os.Open(second)
	if err != nil {
		return 0, "", "", err
	}
	defer b.Close()
	ra, rb := bufio.NewReaderSize(a, 1<<16), bufio.NewReaderSize(b, 1<<16)
	for ; ; at++ {
		ca, ea := ra.ReadByte()
		cb, eb := rb.ReadByte()
		switch {
		case ea == io.EOF && eb == io.EOF:
			return -1, "", "", nil
		case ea != nil && ea != io.EOF, eb != nil && eb != io.EOF:
			return 0, "", "", errors.Join(ea, eb)
		case ca != cb || ea != eb:
			return at, show(ca, ea), show(cb, eb), nil
		}
	}
}

func show(c byte, err error) string {
	if err == io.EOF {
		return "the end"
	}
	return fmt.Sprintf("0x%02x", c)
}

// part names what of a file an offset lies in; "" if it is nothing special.
func part(file string, at int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if m, start := member(f, at); m != "" {
		inner := section(io.NewSectionReader(f, start, 1<<62), at-start)
		return strings.TrimSuffix("member "+m+", "+inner, ", ")
	}
	return section(f, at)
}

// section finds an offset's section in an ELF file, and what symbol is there.
func section(r io.ReaderAt, at int64) string {
	e, err := elf.NewFile(r)
	if err != nil {
		return ""
	}
	for i, s := range e.Sections {
		if s.Type == elf.SHT_NULL || s.Type == elf.SHT_NOBITS || at < int64(s.Offset) || at >= int64(s.Offset+s.FileSize) {
			continue
		}
		inside := uint64(at) - s.Offset
		text := fmt.Sprintf("section %s+%#x", s.Name, inside)
		symbols, _ := e.Symbols()
		for _, sym := range symbols {
			value := sym.Value
			if e.Type != elf.ET_REL {
				value -= s.Addr
			}
			if int(sym.Section) == i && sym.Size > 0 && inside >= value && inside < value+sym.Size {
				return text + " in " + sym.Name
			}
		}
		return text
	}
	return ""
}

// member finds an offset's member in an ar archive, and where that begins.
func member(r io.ReaderAt, at int64) (name string, start int64) {
	const magic, head = "!<arch>\n", 60
	b := make([]byte, len(magic))
	if _, err := r.ReadAt(b, 0); err != nil || string(b) != magic {
		return "", 0
	}
	var long []byte
	h := make([]byte, head)
	for pos := int64(len(magic)); ; {
		if _, err := r.ReadAt(h, pos); err != nil {
			return "", 0
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil || size < 0 {
			return "", 0
		}
		name := strings.TrimSpace(string(h[:16]))
		start := pos + head
		if name == "//" && size < 1<<24 {
			long = make([]byte, size)
			if _, err := r.ReadAt(long, start); err != nil {
				return "", 0
			}
		}
		if at < start+size {
			if i, err := strconv.Atoi(strings.TrimPrefix(name, "/")); err == nil && i >= 0 && i < len(long) {
				line, _, _ := bytes.Cut(long[i:], []byte("\n"))
				name = string(line)
			}
			return strings.TrimSuffix(name, "/"), start
		}
		pos = start + size + size&1
	}
}
