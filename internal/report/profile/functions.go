// Package profile tells where the instructions of a guest went, exactly: it gives the plugin that counts them
// (nixexprs/profile/count.c) the functions of kernel and application, and makes tables and flame graphs of its tree of
// calls.
package profile

import (
	"bufio"
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
)

// Part is a part of the guest.
type Part string

const (
	Application Part = "application"
	Libc        Part = "libc"
	Kernel      Part = "kernel"
	Idle        Part = "idle"    // the kernel's loop that waits for interrupts, without these
	Unknown     Part = "unknown" // programs in ring 3 beside the application, and code without a symbol
)

// Parts are all of them, in the order in which they are shown.
func Parts() []Part { return []Part{Application, Libc, Kernel, Idle, Unknown} }

// Function is one that a table or a graph names.
type Function struct {
	Name string
	Part Part
}

// Functions are those of a guest's kernel and application.
type Functions struct {
	all   []Function // by number; the first two are code without a symbol, of programs and of the kernel
	spans []span     // by address
	Entry uint64     // the application's first instruction; 0 is unknown
}

type span struct {
	start, end    uint64
	number, flags int
	name          string // the symbol's
}

// What the plugin is told of a function: see there.
const (
	entry = 1 << iota
	first
	switches
	leaves
	table
	fault
)

// upper is where the kernel's half of the addresses begins.
const upper = 1 << 63

// ErrNoSymbols is a file from which the names of functions cannot be had.
var ErrNoSymbols = errors.New("has no symbols of functions")

// ErrMoves is an application whose addresses are known when it runs, not before.
var ErrMoves = errors.New("is position-independent")

// Read takes the functions from the kernel's file and from the application's, and with them what is libc's from the
// directory of a static libc ("" is none).
func Read(kernel, application, libc string) (*Functions, error) {
	f := &Functions{all: []Function{{"[unknown]", Unknown}, {"[kernel]", Kernel}}}
	names, err := archived(libc)
	if err != nil {
		return nil, err
	}
	if err := f.kernel(kernel); err != nil {
		return nil, err
	}
	if err := f.application(application, names); err != nil {
		return nil, err
	}
	slices.SortStableFunc(f.spans, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	return f, nil
}

// symbol is one of code, with the source file that the symbol table says it is from.
type symbol struct {
	elf.Symbol
	source string
}

// code are the symbols of a file's code by address, one for each place.
func code(file *elf.File) ([]symbol, error) {
	all, err := file.Symbols()
	if err != nil {
		return nil, ErrNoSymbols
	}
	var list []symbol
	source := ""
	for _, s := range all {
		kind, bind := elf.ST_TYPE(s.Info), elf.ST_BIND(s.Info)
		if kind == elf.STT_FILE {
			source = s.Name
			continue
		}
		executable := int(s.Section) < len(file.Sections) && file.Sections[s.Section].Flags&elf.SHF_EXECINSTR != 0
		function := kind == elf.STT_FUNC || kind == elf.STT_GNU_IFUNC || kind == elf.STT_NOTYPE
		if !executable || !function || s.Name == "" || strings.HasPrefix(s.Name, ".L") {
			continue
		}
		if bind != elf.STB_LOCAL {
			source = "" // those of all files come behind the local ones
		}
		list = append(list, symbol{s, source})
	}
	// Of several names of a place the largest one covers it, and of these the plainest is the best known.
	slices.SortStableFunc(list, func(a, b symbol) int {
		return cmp.Or(cmp.Compare(a.Value, b.Value), cmp.Compare(b.Size, a.Size),
			cmp.Compare(leading(a.Name), leading(b.Name)), cmp.Compare(len(a.Name), len(b.Name)))
	})
	var plain []symbol
	end := uint64(0)
	for i, s := range list {
		if s.Value < end || i > 0 && s.Value == list[i-1].Value {
			continue // a label inside, or another name
		}
		if s.Size == 0 && i+1 < len(list) {
			s.Size = next(list[i:]) - s.Value
		}
		end = s.Value + s.Size
		plain = append(plain, s)
	}
	if len(plain) == 0 {
		return nil, ErrNoSymbols
	}
	return plain, nil
}

// next is the address of the first symbol of a list that is at another place than its first.
func next(list []symbol) uint64 {
	for _, s := range list {
		if s.Value != list[0].Value {
			return s.Value
		}
	}
	return list[0].Value
}

func leading(name string) int { return len(name) - len(strings.TrimLeft(name, "_")) }

// base is a function's name without what a compiler adds to parts and variants of it: "f.cold", "f.constprop.0".
func base(name string) string {
	if i := strings.IndexByte(name, '.'); i > 0 {
		return name[:i]
	}
	return name
}

// add enters a symbol as a function. Those of the same name and part are one.
func (f *Functions) add(s symbol, part Part, flags int, known map[Function]int) {
	fn := Function{base(s.Name), part}
	n, ok := known[fn]
	if !ok {
		n = len(f.all)
		known[fn] = n
		f.all = append(f.all, fn)
	}
	f.spans = append(f.spans, span{s.Value, s.Value + s.Size, n, flags, s.Name})
}

func (f *Functions) kernel(name string) error {
	file, err := elf.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	list, err := code(file)
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	from, to := bounds(file)
	known := map[Function]int{}
	for _, s := range list {
		if s.Value < upper {
			continue // offsets of variables of each processor
		}
		f.add(s, Kernel, flagsOf(s, from, to), known)
	}
	return nil
}

// bounds are the ends of the code by which the kernel is entered and left.
func bounds(file *elf.File) (from, to uint64) {
	all, _ := file.Symbols() // they were read before
	for _, s := range all {
		switch s.Name {
		case "__entry_text_start":
			from = s.Value
		case "__entry_text_end":
			to = s.Value
		}
	}
	return from, to
}

// flagsOf says what the kernel's functions in arch/x86/entry/entry_64.S are.
func flagsOf(s symbol, from, to uint64) int {
	flags := 0
	if s.Value >= from && s.Value < to {
		flags |= leaves
		switch {
		case s.Name == "irq_entries_start", s.Name == "spurious_entries_start":
			flags |= entry | table
		case strings.HasPrefix(s.Name, "asm_exc_"), strings.HasPrefix(s.Name, "asm_sysvec_"),
			strings.HasPrefix(s.Name, "asm_common_"), strings.HasPrefix(s.Name, "asm_spurious_"),
			strings.HasPrefix(s.Name, "entry_SYSCALL_64"):
			flags |= entry
		}
		switch s.Name {
		case "asm_exc_page_fault", "asm_exc_general_protection", "asm_exc_device_not_available":
			flags |= fault
		}
	}
	switch s.Name {
	case "ret_from_fork", "ret_from_fork_asm":
		flags |= first
	case "__switch_to_asm":
		flags |= switches
	}
	return flags
}

func (f *Functions) application(name string, libc names) error {
	file, err := elf.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if file.Type != elf.ET_EXEC {
		return fmt.Errorf("%s %w", name, ErrMoves)
	}
	list, err := code(file)
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	f.Entry = file.Entry
	known := map[Function]int{}
	for i, s := range list {
		part := Application
		if libc.have(list, i) {
			part = Libc
		}
		f.add(s, part, 0, known)
	}
	return nil
}

// Address is where a function begins: of the application, if both it and the kernel have one of that name.
func (f *Functions) Address(name string) (uint64, error) {
	at := uint64(0)
	var all []string
	for _, s := range f.spans {
		if s.name == name && (at == 0 || s.start < at) {
			at = s.start
		}
		all = append(all, s.name)
	}
	if at == 0 {
		return 0, &NoFunction{name, suggest.Nearest(name, all)}
	}
	return at, nil
}

// NoFunction is a name that neither the application nor the kernel has.
type NoFunction struct{ Name, Nearest string }

// ExitCode is the code of a command that this ends.
func (*NoFunction) ExitCode() exit.Code { return exit.Usage }

func (e *NoFunction) Error() string {
	return fmt.Sprintf("neither the application nor the kernel has a function %s", e.Name)
}

// Hint is the line that helps.
func (e *NoFunction) Hint() string {
	if e.Nearest == "" {
		return "a function that the compiler put into its callers has no name any more"
	}
	return fmt.Sprintf("did you mean %s?", e.Nearest)
}

// WriteTo writes the functions as the plugin reads them.
func (f *Functions) WriteTo(w io.Writer) (int64, error) {
	var n int64
	b := bufio.NewWriter(w)
	for _, s := range f.spans {
		m, err := fmt.Fprintf(b, "%x %x %d %d\n", s.start, s.end, s.number, s.flags)
		if n += int64(m); err != nil {
			return n, err
		}
	}
	return n, b.Flush()
}

// names are what a static libc has.
type names struct {
	global  map[string]bool
	members map[string]bool // names of its object files, without what follows the dot
}

// have tells whether a symbol of a list is libc's. A local one is if its source file is named like an object file of
// libc, and a neighbour is libc's: a program may have a select.c, too.
func (n names) have(list []symbol, i int) bool {
	local := func(s symbol) bool { return elf.ST_BIND(s.Info) == elf.STB_LOCAL }
	if !local(list[i]) {
		return n.global[list[i].Name]
	}
	if !n.members[base(list[i].source)] {
		return false
	}
	before, after := i, i
	for before >= 0 && local(list[before]) {
		before--
	}
	for after < len(list) && local(list[after]) {
		after++
	}
	return before >= 0 && n.global[list[before].Name] || after < len(list) && n.global[list[after].Name]
}

// archived reads the indices of the archives in a directory (ar(5): the member "/" has all global symbols).
func archived(dir string) (names, error) {
	n := names{map[string]bool{}, map[string]bool{}}
	if dir == "" {
		return n, nil
	}
	for _, lib := range []string{"libc.a", "libm.a"} {
		b, err := os.ReadFile(filepath.Join(dir, lib))
		if err != nil {
			return n, err
		}
		if err := n.add(b); err != nil {
			return n, fmt.Errorf("%s: %w", filepath.Join(dir, lib), err)
		}
	}
	n.global["_start"] = true
	return n, nil
}
