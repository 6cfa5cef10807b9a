package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"slices"
	"strings"

	"ukl/internal/machine/gdbstub"
)

// fakeGDB takes gdb's arguments and speaks its remote protocol: it breaks at the first function of "hbreak", goes on,
// and says where the machine has stopped, in which ring, and whether the memory there is what the file says. It shows
// what gdb would find without a gdb on the machine. Its last word is to kill the machine.
func fakeGDB(args []string) error {
	at := slices.IndexFunc(args, func(a string) bool { return a[0] == '/' })
	if at < 0 {
		return fmt.Errorf("no file in %q", args)
	}
	var address, function string
	for _, a := range args {
		if s, ok := strings.CutPrefix(a, "target remote "); ok {
			address = s
		}
		if s, ok := strings.CutPrefix(a, "hbreak "); ok && function == "" {
			function = s
		}
	}
	want, begin, err := beginning(args[at], function)
	if err != nil {
		return err
	}
	g, err := gdbstub.Dial(address)
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.Halted(); err != nil {
		return fmt.Errorf("the machine is not halted: %w", err)
	}
	if err := g.Until(want); err != nil {
		return fmt.Errorf("it did not come to %s at %#x: %w", function, want, err)
	}
	r, err := g.Registers()
	if err != nil {
		return err
	}
	got := r.Get(gdbstub.RIP)
	memory, err := g.Read(got, len(begin))
	if err != nil {
		return err
	}
	fmt.Printf("stopped at %s: %v, in ring %d, its code is there: %v\n", function, got == want, r.CS()&3,
		bytes.Equal(memory, begin))
	return g.Kill()
}

// beginning is where a function is, and its first bytes.
func beginning(file, function string) (uint64, []byte, error) {
	f, err := elf.Open(file)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		return 0, nil, err
	}
	for _, s := range symbols {
		if s.Name != function {
			continue
		}
		b := make([]byte, 8)
		section := f.Sections[s.Section]
		_, err := section.ReadAt(b, int64(s.Value-section.Addr))
		return s.Value, b, err
	}
	return 0, nil, fmt.Errorf("%s has no function %q", file, function)
}

// fakeGDBMain is fakeGDB as a program.
func fakeGDBMain() {
	if err := fakeGDB(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fake-gdb:", err)
		os.Exit(1)
	}
}
