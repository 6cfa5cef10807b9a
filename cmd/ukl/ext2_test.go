package main

import (
	"encoding/binary"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// Where a file system of 2 MiB, of one group of blocks of 1 KiB, has what. Documentation/filesystems/ext4 of the kernel
// has the format.
const (
	ext2Block   = 1 << 10
	ext2Blocks  = 2048
	ext2Inodes  = 64
	ext2Super   = 1
	ext2Groups  = 2
	ext2InUse   = 3  // bitmap of blocks; that of inodes follows
	ext2Table   = 5  // of inodes, 8 blocks
	ext2Root    = 13 // the root directory
	ext2Content = 14 // of the one file that may be there
	ext2State   = ext2Super*ext2Block + 58
)

// ext2 IMAGE [FILE] makes an image with an ext2 file system, with a copy of the file, of at most 1 KiB, in its root.
func ext2(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: ext2 IMAGE [FILE]")
	}
	name, text := "", ""
	if len(args) == 2 {
		name, text = filepath.Base(args[1]), ts.ReadFile(args[1])
	}
	if len(text) > ext2Block {
		ts.Fatalf("%s is too large for this small writer", name)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), ext2Image(name, text), 0o644))
}

func ext2Image(name, text string) []byte {
	image := make([]byte, ext2Blocks*ext2Block)
	block := func(n int) []byte { return image[n*ext2Block:][:ext2Block] }
	half := func(b []byte, at, v int) { binary.LittleEndian.PutUint16(b[at:], uint16(v)) }
	word := func(b []byte, at, v int) { binary.LittleEndian.PutUint32(b[at:], uint32(v)) }
	const reserved = 10 // the first inodes
	used, inodes := ext2Content, reserved
	if name != "" {
		used, inodes = used+1, inodes+1
	}

	sb := block(ext2Super)
	for at, v := range map[int]int{
		0: ext2Inodes, 4: ext2Blocks, 12: ext2Blocks - used, 16: ext2Inodes - inodes,
		20: 1,                              // the first block of the group
		32: 8192, 36: 8192, 40: ext2Inodes, // blocks, fragments and inodes of a group
		76: 1, 84: reserved + 1, // revision with features; the first inode that is free to use
		96: 2, // directories say what is a file
	} {
		word(sb, at, v)
	}
	// no limit of mounts; magic; clean; go on; inode size
	for at, v := range map[int]int{54: 0xffff, 56: 0xef53, 58: 1, 60: 1, 88: 128} {
		half(sb, at, v)
	}
	group := block(ext2Groups)
	for i, v := range []int{ext2InUse, ext2InUse + 1, ext2Table} {
		word(group, 4*i, v)
	}
	for i, v := range []int{ext2Blocks - used, ext2Inodes - inodes, 1} { // free blocks and inodes; directories
		half(group, 12+2*i, v)
	}
	take := func(bitmap []byte, n, there int) { // what is not there is taken, too
		for i := range bitmap {
			bitmap[i] = 0xff
		}
		for i := n; i < there; i++ {
			bitmap[i/8] &^= 1 << (i % 8)
		}
	}
	take(block(ext2InUse), used-1, ext2Blocks-1) // the first bit is block 1
	take(block(ext2InUse+1), inodes, ext2Inodes)
	inode := func(n, mode, links, size, at int) {
		b := image[ext2Table*ext2Block+(n-1)*128:]
		half(b, 0, mode)
		word(b, 4, size)
		half(b, 26, links)
		word(b, 28, ext2Block/512)
		word(b, 40, at)
	}
	const directory, regular = 0o040755, 0o100644
	inode(2, directory, 2, ext2Block, ext2Root)
	type entry struct {
		name        string
		inode, kind int
	}
	entries := []entry{{".", 2, 2}, {"..", 2, 2}}
	if name != "" {
		inode(reserved+1, regular, 1, len(text), ext2Content)
		copy(block(ext2Content), text)
		entries = append(entries, entry{name, reserved + 1, 1})
	}
	root := block(ext2Root)
	for i, e := range entries {
		size := (8 + len(e.name) + 3) &^ 3
		if i == len(entries)-1 {
			size = len(root)
		}
		word(root, 0, e.inode)
		half(root, 4, size)
		root[6], root[7] = byte(len(e.name)), byte(e.kind)
		copy(root[8:], e.name)
		root = root[size:]
	}
	return image
}

// unmounted IMAGE demands that an ext2 file system was left as if it had been unmounted.
func unmounted(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] unmounted IMAGE")
	}
	clean := binary.LittleEndian.Uint16([]byte(ts.ReadFile(args[0])[ext2State:])) == 1
	if clean == neg {
		ts.Fatalf("%s: unmounted is %v", args[0], clean)
	}
}
