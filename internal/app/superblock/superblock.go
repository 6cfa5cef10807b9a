// Package superblock tells which file system a disk image holds, and what the guest's kernel must be made with to mount
// it. It reads a few bytes at known places and changes nothing; what the bytes say is not trusted to be whole or true.
package superblock

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// FileSystem is what an image holds.
type FileSystem struct {
	// Type is the kernel's name of it, as in /proc/filesystems, if the kernel has Needs.
	Type string
	// Needs are the lines of kernel configuration that mount it, besides ukl's own; none for what every kernel of ukl
	// knows.
	Needs []string
	// Why are the features that need them, by the names that mke2fs has; only for the ext family.
	Why []string
}

// Unknown says that an image holds nothing that can be mounted.
type Unknown struct {
	What string
	Do   string // what helps; "" is a new image
}

func (e *Unknown) Error() string { return e.What }

// Hint is the line that helps.
func (e *Unknown) Hint() string { return cmp.Or(e.Do, "make an image with: mke2fs -t ext2 FILE 64M") }

// Look reads the superblock of an image that is to be written to, or only read.
func Look(image io.ReaderAt, readOnly bool) (FileSystem, error) {
	head := make([]byte, 70<<10) // btrfs keeps its superblock at 64 KiB
	n, err := image.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return FileSystem{}, err
	}
	head = head[:n]
	at := func(offset int, magic string) bool {
		return len(head) >= offset+len(magic) && string(head[offset:offset+len(magic)]) == magic
	}
	switch {
	case len(head) >= extAt+extSize && binary.LittleEndian.Uint16(head[extAt+56:]) == extMagic:
		return ext(head[extAt:extAt+extSize], readOnly)
	case at(0, "hsqs"):
		return FileSystem{Type: "squashfs", Needs: []string{"CONFIG_MISC_FILESYSTEMS=y", "CONFIG_SQUASHFS=y"}}, nil
	case at(0, "XFSB"):
		return FileSystem{Type: "xfs", Needs: []string{"CONFIG_XFS_FS=y"}}, nil
	case at(1024, "\xe2\xe1\xf5\xe0"):
		return FileSystem{Type: "erofs", Needs: []string{"CONFIG_MISC_FILESYSTEMS=y", "CONFIG_EROFS_FS=y"}}, nil
	case at(32769, "CD001"):
		return FileSystem{Type: "iso9660", Needs: []string{"CONFIG_ISO9660_FS=y"}}, nil
	case at(65600, "_BHRfS_M"):
		return FileSystem{Type: "btrfs", Needs: []string{"CONFIG_BTRFS_FS=y"}}, nil
	case at(54, "FAT"), at(82, "FAT32"):
		return FileSystem{Type: "vfat", Needs: []string{
			"CONFIG_NLS=y", "CONFIG_NLS_CODEPAGE_437=y", "CONFIG_NLS_ISO8859_1=y",
			"CONFIG_VFAT_FS=y",
		}}, nil
	case at(0, "QFI\xfb"):
		return FileSystem{}, &Unknown{
			"it is a qcow2 image, and ukl needs a raw one", "qemu-img convert -O raw IMAGE NEW, if NEW then has no partitions",
		}
	case at(512, "EFI PART"), at(510, "\x55\xaa"):
		return FileSystem{}, &Unknown{
			"it has partitions, and ukl needs a file system without partitions",
			"copy one to a file of its own: dd skip=START count=SECTORS, as fdisk -l shows them",
		}
	case len(bytes.Trim(head, "\x00")) == 0:
		return FileSystem{}, &Unknown{What: "it is empty: it has no file system"}
	}
	return FileSystem{}, &Unknown{What: "it holds no file system that ukl knows"}
}

// Place, size and magic number of the superblock of ext2, ext3 and ext4: Documentation/filesystems/ext4/super.rst of
// the kernel.
const (
	extAt    = 1024
	extSize  = 1024
	extMagic = 0xef53
)

// feature is a bit of one of the three sets of features, with its name.
type feature struct {
	bit  uint32
	name string
}

// Features that the kernel's ext2 does not have: it can mount nothing with the first, and write to nothing with the
// second.
func incompatible() []feature {
	return []feature{
		{0x1, "compression"},
		{0x4, "needs_recovery"},
		{0x8, "journal_dev"},
		{0x40, "extents"},
		{0x80, "64bit"},
		{0x100, "mmp"},
		{0x200, "flex_bg"},
		{0x400, "ea_inode"},
		{0x1000, "dirdata"},
		{0x2000, "metadata_csum_seed"},
		{0x4000, "large_dir"},
		{0x8000, "inline_data"},
		{0x10000, "encrypt"},
		{0x20000, "casefold"},
	}
}

func unwritable() []feature {
	return []feature{
		{0x8, "huge_file"},
		{0x10, "uninit_bg"},
		{0x20, "dir_nlink"},
		{0x40, "extra_isize"},
		{0x100, "quota"},
		{0x200, "bigalloc"},
		{0x400, "metadata_csum"},
		{0x1000, "read-only"},
		{0x2000, "project"},
		{0x8000, "verity"},
		{0x10000, "orphan_present"},
	}
}

// What the kernel's ext2 has: fs/ext2/ext2.h.
const (
	ext2Incompatible = 0x2 | 0x10      // filetype, meta_bg
	ext2Unwritable   = 0x1 | 0x2 | 0x4 // sparse_super, large_file, btree_dir
	largestBlock     = 2               // 4096 bytes: 1024 << 2
)

// ext tells ext2 from what needs the kernel's ext4, which mounts ext3 as well.
func ext(sb []byte, readOnly bool) (FileSystem, error) {
	word := func(offset int) uint32 { return binary.LittleEndian.Uint32(sb[offset:]) }
	if size := word(24); size > largestBlock {
		return FileSystem{}, &Unknown{What: fmt.Sprintf("its blocks are larger than the 4096 bytes of a page (2^%d)",
			10+uint64(size))}
	}
	var why []string
	note := func(set uint32, names []feature) {
		for _, f := range names {
			if set&f.bit != 0 {
				why = append(why, f.name)
				set &^= f.bit
			}
		}
		for bit := uint32(1); bit != 0; bit <<= 1 {
			if set&bit != 0 {
				why = append(why, fmt.Sprintf("feature %#x", bit))
			}
		}
	}
	note(word(96)&^ext2Incompatible, incompatible())
	if !readOnly {
		note(word(100)&^ext2Unwritable, unwritable())
	}
	if len(why) == 0 { // it may have a journal, which does not matter while there is nothing in it
		return FileSystem{Type: "ext2"}, nil
	}
	return FileSystem{Type: "ext4", Needs: []string{"CONFIG_EXT4_FS=y"}, Why: why}, nil
}

// Missing are those of Needs that are not among lines of kernel configuration.
func (f FileSystem) Missing(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(f.Needs), func(l string) bool { return slices.Contains(lines, l) })
}

// String is how messages call it.
func (f FileSystem) String() string {
	if len(f.Why) > 0 {
		return fmt.Sprintf("%s with %s", f.Type, strings.Join(f.Why, ", "))
	}
	return f.Type
}
