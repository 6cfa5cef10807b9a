// Package anatomy looks into built files: how large they and their parts are, and what an application takes from the kernel. It
// only reads.
package anatomy

import (
	"cmp"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io"
	"os"
	"slices"
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
	// Kernel are the kernel's functions that the application calls by name; for a kernel and a raw program none.
	Kernel []string `json:"kernel,omitempty"`
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
	for _, s := range e.Sections {
		if s.Flags&elf.SHF_ALLOC != 0 && s.Size > 0 {
			p.Sections = append(p.Sections, Part{s.Name, s.Size})
		}
	}
	symbols, _ := e.Symbols() // a stripped program has none
	for _, s := range symbols {
		kind := elf.ST_TYPE(s.Info)
		switch {
		case s.Section == elf.SHN_ABS && s.Value >= kernelHalf && e.Entry < kernelHalf:
			p.Kernel = append(p.Kernel, s.Name)
		case s.Size > 0 && (kind == elf.STT_FUNC || kind == elf.STT_OBJECT):
			p.Largest = append(p.Largest, Part{s.Name, s.Size})
		}
	}
	slices.Sort(p.Kernel)
	p.Kernel = slices.Compact(p.Kernel)
	slices.SortFunc(p.Largest, func(a, b Part) int { return cmp.Or(cmp.Compare(b.Size, a.Size), cmp.Compare(a.Name, b.Name)) })
	p.Largest = slices.Compact(p.Largest)
	p.Largest = p.Largest[:min(len(p.Largest), most)]
	return p, nil
}
