// Package program looks at a finished program and says whether it can be a unikernel: an ELF file for x86-64. It only
// reads the file, and never runs it.
package program

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ukl/internal/app/script"
	"ukl/internal/cli/exit"
	"ukl/internal/host/regular"
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
	f, err := regular.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == magic
}

// elsewhere is the hint for what is no ELF file.
const elsewhere = "name an x86-64 ELF program, a source in C or C++, a script, or a directory with a ukl.toml, which " +
	"`ukl init` writes"

// Check returns an *Unfit for a file that is no x86-64 program.
func Check(file string) error {
	unfit := func(hint, format string, args ...any) error {
		return &Unfit{file, fmt.Sprintf(format, args...), hint}
	}
	f, err := regular.Open(file)
	if bad := (*regular.Irregular)(nil); errors.As(err, &bad) {
		return unfit(elsewhere, "not a program: it is %s", bad.Kind)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if !Is(file) {
		what := "not a program: it is not an ELF file"
		if by, _ := script.Interpreter(f); by != "" {
			hint := fmt.Sprintf("run its interpreter, where the guest sees both: ukl run --volume /:/:ro %s -- SCRIPT", by)
			return unfit(hint, "a script, which %s runs", by)
		}
		return unfit(elsewhere, "%s", what)
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
	load, loader := false, false
	for _, p := range e.Progs {
		load, loader = load || p.Type == elf.PT_LOAD, loader || p.Type == elf.PT_INTERP
	}
	if len(needed) > 0 && !loader {
		return unfit("", "a library, not a program: it needs %s, and names no loader", strings.Join(needed, ", "))
	}
	if !load || e.Entry == 0 {
		return unfit("name a program", "it has no entry point: perhaps it is a library")
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if reason := misplaced(e, fi.Size()); reason != "" {
		return unfit("link the program again, or copy it again: no kernel can load this file", "%s", reason)
	}
	return nil
}

const (
	// userEnd is where the addresses of processes end on x86-64: TASK_SIZE of Linux.
	userEnd = 1<<47 - page
	// moved is where Linux puts a position-independent program: ELF_ET_DYN_BASE, and what randomness adds at most.
	moved = userEnd/3*2 + 1<<40
	page  = 4096
)

// misplaced tells what is wrong with the segments of a program whose file has size bytes; "" is nothing. Linux refuses
// such a program after it has begun to replace the one that asks for it: as the first process, it would be the end of
// the machine.
func misplaced(e *elf.File, size int64) string {
	end := uint64(userEnd)
	if e.Type == elf.ET_DYN {
		end -= moved
	}
	for _, p := range e.Progs {
		if p.Type != elf.PT_LOAD {
			continue
		}
		at := fmt.Sprintf("its segment at address %#x", p.Vaddr)
		switch {
		case p.Vaddr >= end || p.Memsz > end-p.Vaddr:
			return fmt.Sprintf("%s, of %d bytes, is beyond what programs can have, which ends at %#x", at, p.Memsz, end)
		case p.Filesz > p.Memsz:
			return fmt.Sprintf("%s has %d bytes in the file, and only %d in memory", at, p.Filesz, p.Memsz)
		case p.Filesz > 0 && p.Off%page != p.Vaddr%page:
			return fmt.Sprintf("%s is at offset %#x of the file: the two must be equal within a page of %d bytes",
				at, p.Off, page)
		case p.Filesz > uint64(size) || p.Off > uint64(size)-p.Filesz:
			return fmt.Sprintf("%s ends beyond the file, which has %d bytes: perhaps a part is missing", at, size)
		}
	}
	return ""
}

// Dynamic tells whether a program asks for a loader, which brings its libraries.
func Dynamic(file string) bool {
	f, err := regular.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	return err == nil && slices.ContainsFunc(e.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

// Static is how to link a program so that it needs no libraries, as far as its sections tell what made it.
func Static(file string) string {
	e := &elf.File{} // one that tells nothing
	if f, err := regular.Open(file); err == nil {
		defer f.Close()
		if read, err := elf.NewFile(f); err == nil {
			e = read
		}
	}
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
