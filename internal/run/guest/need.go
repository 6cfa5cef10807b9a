package guest

import (
	"bytes"
	"fmt"
	"strconv"

	"ukl/internal/machine/qemu"
	"ukl/internal/run/newc"
)

// Need is what a guest's start takes of its memory, in MiB. The zero value is that of a kernel of which ukl knows
// nothing.
type Need struct {
	Least int // with less the application does not start
	Usual int // what a guest has if nobody says how much
}

// Small says that a guest has too little memory for its start.
type Small struct {
	Memory int
	Need   Need
}

func (e *Small) Error() string {
	return fmt.Sprintf("%d MiB of memory are too little: to start, the application needs %d", e.Memory, e.Need.Least)
}

// Hint is the line that helps.
func (e *Small) Hint() string {
	return fmt.Sprintf("without -m, and without memory in ukl.toml, the guest gets %d MiB", e.Need.Usual)
}

// Check says whether a guest can start with so many MiB of memory.
func (n Need) Check(memory int) error {
	if memory < n.Least {
		return &Small{memory, n}
	}
	return nil
}

const (
	kib = 1 << 10
	mib = 1 << 20

	page = 4 * kib
)

// What a start takes besides the kernel's image and the files, in bytes. It was measured with Linux 6.1.192 under TCG,
// by programs with 1, 40 and 200 MiB of constants and by files of 1, 40 and 200 MiB; the table of TestNeed has the
// smallest memory in which each started. The estimate is up to 2 MiB above that with one CPU: a guest that is at the
// limit dies without a good word.
const (
	above   = 64 * kib     // between the image and the archive
	early   = 3 * mib / 2  // before the kernel counts what is left of the memory, with what is below 1 MiB
	hashes  = 256          // a part of the memory becomes hash tables then
	section = 128 * mib    // is the piece of memory of which the kernel makes one table of pages
	pages   = section / 64 // of 64 bytes for each
	// Afterwards, until the application runs: 6 MiB are in use in the end, but the kernel keeps up to 4 MiB free, and
	// 1 MiB of the application is there twice while it becomes a file.
	running = 12 * mib
	// A distribution's kernel, in a PC, takes more for all that it can do.
	distribution = 6 * mib
	index        = 64  // a part of the application becomes page tables and the index of the file
	perCPU       = mib // of each further CPU: 0.9 MiB with 8
	member       = kib // of each member of the root file system, besides the pages of its content
)

// Need estimates what the start takes, from the kernel's file and the archive.
func (o *Options) Need() (Need, error) {
	k, err := qemu.ReadKernel(o.Machine.Kernel)
	if err != nil || k.End == 0 {
		return Need{}, err
	}
	var a archive
	if err := o.write(&a); err != nil {
		return Need{}, err
	}
	return start{k, uint64(a.size), a.root, o.Machine.CPUs, o.Machine.PC}.need(), nil
}

// NeedOf is the estimate for a machine that somebody else makes.
func NeedOf(k qemu.Kernel, archive []byte, cpus int) Need {
	if k.End == 0 {
		return Need{}
	}
	return start{k, uint64(len(archive)), unpacked(archive), cpus, false}.need()
}

// start is what is known of one before it happens.
type start struct {
	kernel  qemu.Kernel
	archive uint64 // bytes
	root    content
	cpus    int
	pc      bool
}

// need is the estimate. The archive is at the end of the memory while the kernel copies it into the root file system,
// which may hold half of the memory that the kernel has left. Then the archive is freed, and after that the
// application's part of the image while it becomes a file.
func (s start) need() Need {
	loaded := s.kernel.End + s.archive + above
	run := running + s.kernel.App/index + uint64(max(s.cpus-1, 0))*perCPU
	if s.pc {
		run += distribution
	}
	rest := max(s.root.size, run)
	total := s.kernel.Size + s.archive + s.root.size + rest + early
	n := Need{Least: whole(loaded)}
	for uint64(n.Least)*mib < total+overhead(uint64(n.Least)*mib) {
		n.Least++
	}
	n.Usual = n.Least + whole(s.kernel.Writable+s.root.writable) + qemu.DefaultMemory
	return n
}

// overhead is what the kernel takes of a memory to manage it.
func overhead(memory uint64) uint64 { return (memory+section-1)/section*pages + memory/hashes }

// whole rounds bytes up to MiB.
func whole(n uint64) int { return int((n + mib - 1) / mib) }

// content is what an archive becomes in the root file system, in bytes.
type content struct {
	size     uint64 // of the pages of all files
	writable uint64 // what the application, if it is one of them, has of data and zeros
}

// add adds a member with so many bytes.
func (c *content) add(size int64) { c.size += uint64(size+page-1)/page*page + member }

// application is the name in the archive of process mode.
const application = "app"

// unpacked reads the members of archives, one behind the other. What it cannot read it leaves out.
func unpacked(archive []byte) content {
	const header = 110
	var c content
	align := func(n int) int { return (n + 3) &^ 3 }
	for at := 0; at+header <= len(archive); {
		if archive[at] == 0 { // between two archives
			at += 4
			continue
		}
		field := func(i int) int {
			n, _ := strconv.ParseUint(string(archive[at+6+8*i:at+14+8*i]), 16, 32) // what is no number is 0
			return int(n)
		}
		size, name := field(6), field(11)
		begin := align(at + header + name)
		end := begin + size
		if end > len(archive) || name == 0 || !bytes.HasPrefix(archive[at:], []byte(newc.Magic)) {
			break
		}
		if string(archive[at+header:at+header+name-1]) == application {
			c.writable = qemu.Writable(bytes.NewReader(archive[begin:end]))
		}
		c.add(int64(size))
		at = align(end)
	}
	return c
}
