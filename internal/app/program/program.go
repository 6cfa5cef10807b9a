// Package program looks at a finished program and says whether it can be a unikernel: an ELF file for x86-64 that needs
// no other file. It only reads the file, and never runs it.
package program

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"strings"

	"ukl/internal/cli/exit"
)

// Unfit says why a file cannot be a unikernel.
type Unfit struct {
	File   string
	Reason string
	hint   string
}

func (e *Unfit) Error() string { return e.File + ": " + e.Reason }

// ExitCode is the code of a command that this ends.
func (*Unfit) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Unfit) Hint() string { return e.hint }

// magic begins an ELF file.
const magic = "\x7fELF"

// Is tells whether a file says that it is an ELF file.
func Is(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == magic
}

// Check returns an *Unfit for a file that is no static x86-64 program.
func Check(file string) error {
	unfit := func(hint, format string, args ...any) error {
		return &Unfit{file, fmt.Sprintf(format, args...), hint}
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if !Is(file) {
		what := "not a program: it is not an ELF file"
		if b := make([]byte, 2); reads(f, b) && string(b) == "#!" {
			what = "a script, whose interpreter is not in the image"
		}
		return unfit("name a static x86-64 ELF program, or a directory with sources and a ukl.toml, which `ukl init` writes",
			"%s", what)
	}
	e, err := elf.NewFile(f)
	if err != nil {
		return unfit("", "a broken ELF file: %v", err)
	}
	switch {
	case e.Machine != elf.EM_X86_64:
		return unfit("compile it for x86-64", "for another machine: %s",
			strings.ToLower(strings.TrimPrefix(e.Machine.String(), "EM_")))
	case e.Class != elf.ELFCLASS64 || e.Data != elf.ELFDATA2LSB:
		return unfit("compile it for x86-64", "not a 64-bit program")
	case e.Type == elf.ET_REL:
		return unfit("name the program that it is linked into", "an object file, not a program")
	case e.Type == elf.ET_CORE:
		return unfit("", "a core dump, not a program")
	case e.Type != elf.ET_EXEC && e.Type != elf.ET_DYN:
		return unfit("", "not a program, but a file of ELF type %v", e.Type)
	}
	needed, _ := e.ImportedLibraries()
	load := false
	for _, p := range e.Progs {
		load = load || p.Type == elf.PT_LOAD
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC && len(needed) > 0 {
			return unfit(static(e), "%s", dynamic(e, needed))
		}
	}
	if !load || e.Entry == 0 {
		return unfit("name a program", "it has no entry point: perhaps it is a library")
	}
	return nil
}

func reads(f *os.File, b []byte) bool {
	_, err := f.ReadAt(b, 0)
	return err == nil
}

// dynamic names what a program wants at run time.
func dynamic(e *elf.File, needed []string) string {
	if len(needed) == 0 {
		return "a dynamic program: it needs a loader, which is not in the image"
	}
	s := "a dynamic program: it needs " + strings.Join(needed, ", ")
	if e.Entry == 0 {
		return strings.Replace(s, "program", "library", 1)
	}
	return s
}

// static is how to link the program otherwise, as far as its sections tell what made it.
func static(e *elf.File) string {
	for _, s := range e.Sections {
		if s.Name == ".go.buildinfo" || s.Name == ".note.go.buildid" {
			return "link it statically: CGO_ENABLED=0 go build"
		}
	}
	if s := e.Section(".comment"); s != nil {
		if b, err := s.Data(); err == nil && strings.Contains(string(b), "rustc") {
			return "link it statically: rustc -C target-feature=+crt-static, or cargo's target x86_64-unknown-linux-musl"
		}
	}
	return "link it statically: gcc -static, g++ -static, clang -static; or give its sources in a ukl.toml"
}
