// Package sizes looks into built files: how large they and their parts are, and what an application takes from the
// kernel. It only reads.
package sizes

import (
	"cmp"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// File is one file of an image.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Part is a section or a symbol.
type Part struct {
	Name string `json:"name"`
	Size uint64 `json:"size"`
}

// Program is an ELF file in parts.
type Program struct {
	File
	Sections []Part `json:"sections"` // those that are in memory at run time, by address
	Largest  []Part `json:"largest"`  // functions and variables
	// Objects are the files that it was linked from; none for a finished program.
	Objects []Part `json:"objects,omitempty"`
	// Kernel are the kernel's functions that the application calls by name; for a kernel and a raw program none.
	Kernel []string `json:"kernel,omitempty"`
}

// Objects reads the list that a link leaves beside the program that it made: bytes in memory and name of each object
// file, the largest first. Without one, as for a finished program, there are none.
func Objects(file string) ([]Part, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Part
	for line := range strings.Lines(string(text)) {
		size, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		n, err := strconv.ParseUint(size, 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s: no size and name: %q", file, line)
		}
		list = append(list, Part{name, n})
	}
	return list, nil
}

// Look measures a file.
func Look(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return File{path, n, hex.EncodeToString(h.Sum(nil))}, err
}

// kernelHalf is where the kernel's addresses begin.
const kernelHalf = 1 << 63

// Dissect measures an ELF file and its parts; most is the number of its largest symbols to list.
func Dissect(path string, most int) (Program, error) {
	file, err := Look(path)
	p := Program{File: file, Sections: []Part{}, Largest: []Part{}}
	if err != nil {
		return p, err
	}
	e, err := elf.Open(path)
	if err != nil {
		return p, err
	}
	defer e.Close()
	kernel := false
	for _, s := range e.Sections {
		kernel = kernel || s.Addr >= kernelHalf
		if s.Flags&elf.SHF_ALLOC != 0 && s.Size > 0 {
			p.Sections = append(p.Sections, Part{s.Name, s.Size})
		}
	}
	symbols, _ := e.Symbols() // a stripped program has none
	for _, s := range symbols {
		kind := elf.ST_TYPE(s.Info)
		switch {
		case s.Section == elf.SHN_ABS && s.Value >= kernelHalf && !kernel:
			p.Kernel = append(p.Kernel, s.Name)
		case s.Size > 0 && (kind == elf.STT_FUNC || kind == elf.STT_OBJECT):
			p.Largest = append(p.Largest, Part{s.Name, s.Size})
		}
	}
	slices.Sort(p.Kernel)
	p.Kernel = slices.Compact(p.Kernel)
	slices.SortFunc(p.Largest, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size),
			cmp.Compare(a.Name, b.Name))
	})
	p.Largest = slices.Compact(p.Largest)
	p.Largest = p.Largest[:min(len(p.Largest), most)]
	return p, nil
}

// Kinds of a section.
const (
	Code      = "code"
	Constants = "constants"
	Data      = "data"
	Zeros     = "zeros" // it takes memory, and nothing of the file
)

// Section is a section of a program that is in memory at run time.
type Section struct {
	Part
	Kind    string
	Symbols []Part // functions and variables in it, the largest first; bytes that have two names are counted once
}

// Map measures a program's sections, by address, and all symbols in them.
func Map(path string) ([]Section, error) {
	e, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	symbols, _ := e.Symbols() // a stripped program has none
	inside := map[elf.SectionIndex][]elf.Symbol{}
	for _, s := range symbols {
		if kind := elf.ST_TYPE(s.Info); s.Size > 0 && (kind == elf.STT_FUNC || kind == elf.STT_OBJECT) {
			inside[s.Section] = append(inside[s.Section], s)
		}
	}
	var all []Section
	for i, s := range e.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Size == 0 || s.Flags&elf.SHF_TLS != 0 && s.Type == elf.SHT_NOBITS {
			continue // that of threads takes no place of its own
		}
		section := Section{Part: Part{s.Name, s.Size}, Kind: kindOf(s.SectionHeader)}
		section.Symbols = apart(inside[elf.SectionIndex(i)], s.Addr, s.Size)
		all = append(all, section)
	}
	return all, nil
}

func kindOf(s elf.SectionHeader) string {
	switch {
	case s.Flags&elf.SHF_EXECINSTR != 0:
		return Code
	case s.Type == elf.SHT_NOBITS:
		return Zeros
	case s.Flags&elf.SHF_WRITE != 0 && !strings.HasPrefix(s.Name, ".rodata"): // the kernel protects its own later
		return Data
	}
	return Constants
}

// apart are the symbols of a section without those that lie in others, the largest first.
func apart(symbols []elf.Symbol, addr, size uint64) []Part {
	slices.SortFunc(symbols, func(a, b elf.Symbol) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name))
	})
	var list []Part
	end := addr
	for _, s := range symbols {
		if s.Value < end || s.Size > size || s.Value-addr > size-s.Size {
			continue
		}
		list = append(list, Part{s.Name, s.Size})
		end = s.Value + s.Size
	}
	slices.SortStableFunc(list, func(a, b Part) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size),
			cmp.Compare(a.Name, b.Name))
	})
	return list
}
