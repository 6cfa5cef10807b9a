// Package disk makes one image that a BIOS boots as a disk and as a CD: a boot sector of ours, a kernel, an initramfs
// and a command line. It is an ISO 9660 file system, so what is on it can be looked at; equal contents give equal
// bytes. Nothing is read or written but what is handed over.
package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// Contents are what a disk boots.
type Contents struct {
	Boot   []byte // the assembled nixexprs/boot/boot.S
	Kernel []byte // a bzImage
	Initrd []byte
	Append string // the kernel's command line
	Label  string // the volume's name
	Memory int    // MiB that the machine must have; 0 is not checked
}

const (
	block  = 2048    // of ISO 9660, and of the boot sector's table
	sector = 512     // of a disk
	unit   = 1 << 20 // clouds and hypervisors want whole mebibytes
)

// Blocks of the file system. The files begin behind the last.
const (
	blockSystem     = 0 // the boot sector of a disk
	blockVolume     = 16
	blockBoot       = 17
	blockTerminator = 18
	blockCatalog    = 19
	blockSector     = 20 // the boot sector of a CD
	blockPathsLE    = 21
	blockPathsBE    = 22
	blockRoot       = 23
	blockFiles      = 24
)

// Offsets in the boot sector.
const (
	needsAt     = 390 // as in boot.S
	tableAt     = 392 // as in boot.S
	tableSize   = 48
	signatureAt = 440
	partitionAt = 446
)

// load is an entry of the boot sector's table: bytes of the image that go to an address of memory.
type load struct {
	block, bytes int
	address      uint32
}

// Image returns the whole disk. Its size is a multiple of 1 MiB.
func Image(c Contents) ([]byte, error) {
	k, err := prepare(c.Kernel, len(c.Initrd), c.Append)
	if err != nil {
		return nil, err
	}
	if len(c.Boot) != sector || c.Boot[510] != 0x55 || c.Boot[511] != 0xaa {
		return nil, fmt.Errorf("no boot sector of %d bytes", sector)
	}
	files := []file{
		{"BZIMAGE.;1", k.image, 0},
		{"CMDLINE.;1", []byte(c.Append), 0},
		{"INITRD.;1", c.Initrd, 0},
	}
	end := blockFiles
	for i := range files {
		files[i].block = end
		end += max(1, blocks(len(files[i].data)))
	}
	d := make([]byte, (end*block+unit-1)/unit*unit)
	for _, f := range files {
		copy(d[f.block*block:], f.data)
	}
	describe(d, files, c.Label)

	kernel, text, initrd := files[0].block, files[1].block, files[2].block
	boot := append([]byte(nil), c.Boot...)
	for i, l := range []load{
		{kernel, k.setup, setupAddress},
		{kernel + k.setup/block, len(k.image) - k.setup, kernelAddress},
		{text, len(c.Append) + 1, appendAddress}, // the zeros behind it are there
		{initrd, len(c.Initrd), k.initrd},
	} {
		for j, v := range []uint32{uint32(l.block), uint32(blocks(l.bytes)), l.address} {
			binary.LittleEndian.PutUint32(boot[tableAt+12*i+4*j:], v)
		}
	}
	binary.LittleEndian.PutUint16(boot[needsAt:], needs(c.Memory))
	copy(d[blockSector*block:], boot)
	copy(d[blockSystem*block:], boot)
	partition(d)
	return d, nil
}

// needs is a size in MiB as the boot sector compares it: units of 64 KiB above 16 MiB. Half a MiB may be the BIOS's
// own.
func needs(memory int) uint16 {
	const unitsOfMiB, begin, spare = 16, 16, 8
	return uint16(min(max(0, (memory-begin)*unitsOfMiB-spare), 1<<16-1))
}

// partition adds the partition table: BIOSes that look for one want an active partition.
func partition(d []byte) {
	sum := sha256.Sum256(d)
	copy(d[signatureAt:], sum[:4])
	p := d[partitionAt:]
	p[0] = 0x80 // active
	// ISO 9660, from the first sector to beyond what CHS can say
	copy(p[1:], []byte{0, 1, 0, 0x96, 0xfe, 0xff, 0xff})
	binary.LittleEndian.PutUint32(p[8:], 0)                      // first sector
	binary.LittleEndian.PutUint32(p[12:], uint32(len(d)/sector)) // sectors
}

// blocks is the number of blocks that n bytes take.
func blocks(n int) int { return (n + block - 1) / block }
