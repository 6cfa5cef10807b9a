package qemu

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"ukl/internal/host/regular"
)

// Kernel is what the file of a kernel says of the memory that it takes, in bytes.
type Kernel struct {
	// End is the address behind all that is in use before the kernel manages the memory: the kernel itself or, while it
	// unpacks itself, what it needs for that. Whatever else is loaded lies above it.
	End uint64
	// Size is how much of what lies below End is in use: without the hole in front of the kernel.
	Size uint64
	// App is the application's part of Size; 0 if there is none, or a packed kernel does not tell.
	App uint64
	// Writable is what the application's file has of data and zeros, which get memory of their own when they are written
	// to.
	Writable uint64
}

// appSection is the section of a kernel that holds its application's file.
const appSection = ".init.ring0_app"

// ReadKernel reads the file of a Linux kernel, vmlinux or bzImage. Of any other file it returns the zero Kernel: QEMU
// may know what to do with it.
func ReadKernel(file string) (Kernel, error) {
	f, err := regular.Open(file)
	if err != nil {
		return Kernel{}, err
	}
	defer f.Close()
	head := make([]byte, bzHeaderEnd)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return Kernel{}, err
	}
	switch head = head[:n]; {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return readVmlinux(f)
	case n == bzHeaderEnd && string(head[bzMagic:bzMagic+4]) == "HdrS":
		return readBzImage(head), nil
	}
	return Kernel{}, nil
}

// banner begins what a kernel's file says of its version (init/version.c): release, builder, compiler, version.
const banner = "Linux version "

// Release is release and version of the kernel in a vmlinux, as `uname -rv` prints them there; "" if the file does not
// say.
func Release(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	// A file may have the text without the version's number, too, before the whole one.
	for at := len(text); ; {
		if at = bytes.LastIndex(text[:at], []byte(banner)); at < 0 {
			return "", nil
		}
		line, _, ok := bytes.Cut(text[at+len(banner):], []byte("\n"))
		release, rest, more := strings.Cut(string(line), " (")
		_, version, numbered := strings.Cut(rest, ") #")
		if ok && more && numbered && len(line) < 500 {
			return release + " #" + version, nil
		}
	}
}

// readVmlinux reads an ELF file. One of 32 bits is no Linux for this machine.
func readVmlinux(f *os.File) (Kernel, error) {
	e, err := elf.NewFile(f)
	if err != nil {
		return Kernel{}, fmt.Errorf("%s: %w", f.Name(), err)
	}
	if e.Class != elf.ELFCLASS64 || e.Machine != elf.EM_X86_64 {
		return Kernel{}, nil
	}
	var k Kernel
	begin := ^uint64(0)
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && p.Memsz > 0 {
			begin, k.End = min(begin, p.Paddr), max(k.End, p.Paddr+p.Memsz)
		}
	}
	if k.End <= begin {
		return Kernel{}, nil
	}
	k.Size = k.End - begin
	if s := e.Section(appSection); s != nil && s.Size > 0 {
		k.App, k.Writable = s.Size, Writable(s)
	}
	return k, nil
}

// Writable is what a program has of data and zeros; 0 of what is no program.
func Writable(program io.ReaderAt) uint64 {
	e, err := elf.NewFile(program)
	if err != nil {
		return 0
	}
	var n uint64
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_W != 0 {
			n += p.Memsz
		}
	}
	return n
}

// Fields of a bzImage's header, by Documentation/x86/boot.rst.
const (
	bzMagic       = 0x202
	bzPrefAddress = 0x258
	bzInitSize    = 0x260
	bzHeaderEnd   = 0x264
)

// readBzImage takes the kernel's own word for what it needs to unpack itself.
func readBzImage(head []byte) Kernel {
	size := uint64(binary.LittleEndian.Uint32(head[bzInitSize:]))
	return Kernel{End: binary.LittleEndian.Uint64(head[bzPrefAddress:]) + size, Size: size}
}
