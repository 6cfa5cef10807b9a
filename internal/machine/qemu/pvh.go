package qemu

import (
	"bytes"
	"encoding/binary"
)

// guestBase is where the code of a PVH guest is loaded and entered.
const guestBase = 0x100000

// xenNotePhys32 is the type of the Xen ELF note that holds a PVH kernel's 32-bit entry point
// (XEN_ELFNOTE_PHYS32_ENTRY).
const xenNotePhys32 = 18

// PVH wraps 32-bit machine code into the smallest ELF file that QEMU boots: loaded and entered at 1 MiB in flat
// protected mode with interrupts off, as the PVH boot protocol says.
func PVH(code []byte) []byte {
	const headers = 52 + 2*32
	note := []any{uint32(4), uint32(4), uint32(xenNotePhys32), []byte("Xen\x00"), uint32(guestBase)}
	const noteSize = 20
	type header struct{ Type, Offset, VirtAddr, PhysAddr, FileSize, MemSize, Flags, Align uint32 }
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			_ = binary.Write(&b, binary.LittleEndian, v) // a bytes.Buffer takes all
		}
	}
	put([]byte("\x7fELF\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00"))
	put(uint16(2), uint16(3), uint32(1)) // ET_EXEC, EM_386, EV_CURRENT
	put(uint32(guestBase), uint32(52), uint32(0), uint32(0))
	put(uint16(52), uint16(32), uint16(2), uint16(0), uint16(0), uint16(0))
	size := uint32(len(code))
	put(header{1, headers + noteSize, guestBase, guestBase, size, size, 7, 4}) // PT_LOAD, rwx
	put(header{4, headers, 0, 0, noteSize, noteSize, 4, 4})                    // PT_NOTE
	put(note...)
	put(code)
	return b.Bytes()
}

// SerialGuest is a guest that prints text on the first serial port and resets the machine. It stands in for a kernel
// where only ukl's side is looked at.
func SerialGuest(text string) []byte {
	code := []byte{
		0xfa,                         // cli
		0xbe, 0x22, 0x00, 0x10, 0x00, // mov $text, %esi
		0x66, 0xba, 0xf8, 0x03, // mov $0x3f8, %dx
		0x8a, 0x06, // 1: mov (%esi), %al
		0x84, 0xc0, // test %al, %al
		0x74, 0x04, // jz 2f
		0xee,       // out %al, %dx
		0x46,       // inc %esi
		0xeb, 0xf6, // jmp 1b
		0x0f, 0x01, 0x1d, 0x1c, 0x00, 0x10, 0x00, // 2: lidt zero
		0xcc,             // int3: no handler, so a triple fault
		0, 0, 0, 0, 0, 0, // zero
	}
	return PVH(append(append(code, text...), 0))
}

// LoopGuest is a guest that goes to 64-bit ring 0, where unikernels run, counts down from n in a loop of two
// instructions and writes LoopDone to the isa-debug-exit device.
func LoopGuest(n uint32) []byte {
	code := []byte{
		0xfa,                                                       // cli
		0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x03, 0x10, 0x20, 0x00, // movl $pdpt+3, pml4
		0xc7, 0x05, 0x00, 0x10, 0x20, 0x00, 0x03, 0x20, 0x20, 0x00, // movl $pd+3, pdpt
		0xc7, 0x05, 0x00, 0x20, 0x20, 0x00, 0x83, 0x00, 0x00, 0x00, // movl $0x83, pd: 2 MiB, identity
		0xb8, 0x00, 0x00, 0x20, 0x00, // mov $pml4, %eax
		0x0f, 0x22, 0xd8, // mov %eax, %cr3
		0x0f, 0x20, 0xe0, // mov %cr4, %eax
		0x83, 0xc8, 0x20, // or $PAE, %eax
		0x0f, 0x22, 0xe0, // mov %eax, %cr4
		0xb9, 0x80, 0x00, 0x00, 0xc0, // mov $EFER, %ecx
		0x0f, 0x32, // rdmsr
		0x0d, 0x00, 0x01, 0x00, 0x00, // or $LME, %eax
		0x0f, 0x30, // wrmsr
		0x0f, 0x20, 0xc0, // mov %cr0, %eax
		0x0d, 0x01, 0x00, 0x00, 0x80, // or $PG|PE, %eax
		0x0f, 0x22, 0xc0, // mov %eax, %cr0
		0x0f, 0x01, 0x15, 0x88, 0x00, 0x10, 0x00, // lgdt gdtr
		0xea, 0x57, 0x00, 0x10, 0x00, 0x08, 0x00, // ljmp $8, $long
		0xb8, 0x10, 0x00, 0x00, 0x00, // long: mov $16, %eax
		0x8e, 0xd8, // mov %eax, %ds
		0x8e, 0xd0, // mov %eax, %ss
		0xb9, byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24), // mov $n, %ecx
		0xff, 0xc9, // 2: dec %ecx
		0x75, 0xfc, // jnz 2b
		0xb0, 0x05, // mov $5, %al
		0xe6, 0xf4, // out %al, $0xf4
		0xeb, 0xfe, // 1: jmp 1b
		0x90,
		0, 0, 0, 0, 0, 0, 0, 0, // gdt
		0xff, 0xff, 0x00, 0x00, 0x00, 0x9b, 0xaf, 0x00, // 64-bit code
		0xff, 0xff, 0x00, 0x00, 0x00, 0x93, 0xcf, 0x00, // data
		0x17, 0x00, 0x70, 0x00, 0x10, 0x00, // gdtr
	}
	return PVH(code)
}

// LoopDone is QEMU's exit code when LoopGuest ran to its end: isa-debug-exit turns 5 into 5<<1|1.
const LoopDone = 11
