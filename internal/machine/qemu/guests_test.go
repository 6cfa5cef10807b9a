package qemu

import (
	"bytes"
	"debug/elf"
	"testing"
)

func TestGuestsAreELF(t *testing.T) {
	for name, b := range map[string][]byte{"serial": SerialGuest("hi"), "loop": LoopGuest(7)} {
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if f.Entry != guestBase || len(f.Progs) != 2 || f.Progs[0].Vaddr != guestBase {
			t.Errorf("%s: entry %#x, %d program headers", name, f.Entry, len(f.Progs))
		}
	}
}
