package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
)

// fakeGDB takes gdb's arguments and speaks its remote protocol: it breaks at the first function of "hbreak", goes on, and says where
// the machine has stopped, in which ring, and whether the memory there is what the file says. It shows what gdb would find without
// a gdb on the machine. Its last word is to kill the machine.
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
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	r := &remote{w: c, r: bufio.NewReader(c)}
	if s, err := r.ask("?"); err != nil || !strings.HasPrefix(s, "T05") {
		return fmt.Errorf("the machine is not halted: %q, %v", s, err)
	}
	if s, err := r.ask(fmt.Sprintf("Z1,%x,1", want)); err != nil || s != "OK" {
		return fmt.Errorf("no breakpoint at %#x: %q, %v", want, s, err)
	}
	if s, err := r.ask("c"); err != nil || !strings.HasPrefix(s, "T05") {
		return fmt.Errorf("it did not stop at %s: %q, %v", function, s, err)
	}
	s, err := r.ask("g")
	regs, derr := hex.DecodeString(s)
	const ip, cs = 16 * 8, 17*8 + 4 // behind 16 registers; behind ip and the flags
	if err != nil || derr != nil || len(regs) < cs+4 {
		return fmt.Errorf("no registers: %q, %v, %v", s, err, derr)
	}
	got := binary.LittleEndian.Uint64(regs[ip:])
	memory, err := r.ask(fmt.Sprintf("m%x,%x", got, len(begin)))
	if err != nil {
		return err
	}
	fmt.Printf("stopped at %s: %v, in ring %d, its code is there: %v\n", function, got == want,
		binary.LittleEndian.Uint32(regs[cs:])&3, memory == hex.EncodeToString(begin))
	_, err = fmt.Fprint(c, packet("k"))
	return err
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

// remote is one side of gdb's remote protocol.
type remote struct {
	w net.Conn
	r *bufio.Reader
}

func packet(text string) string {
	var sum byte
	for _, b := range []byte(text) {
		sum += b
	}
	return fmt.Sprintf("$%s#%02x", text, sum)
}

// ask sends a packet and returns the answer's text.
func (r *remote) ask(text string) (string, error) {
	if _, err := fmt.Fprint(r.w, packet(text)); err != nil {
		return "", err
	}
	answer, err := r.r.ReadBytes('#')
	if err != nil {
		return "", err
	}
	if _, err := r.r.Discard(2); err != nil {
		return "", err
	}
	if _, err := fmt.Fprint(r.w, "+"); err != nil {
		return "", err
	}
	_, body, ok := bytes.Cut(answer, []byte{'$'})
	if !ok {
		return "", fmt.Errorf("%q is no packet", answer)
	}
	return string(bytes.TrimSuffix(body, []byte{'#'})), nil
}

// fakeGDBMain is fakeGDB as a program.
func fakeGDBMain() {
	if err := fakeGDB(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fake-gdb:", err)
		os.Exit(1)
	}
}
