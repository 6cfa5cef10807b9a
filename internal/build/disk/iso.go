package disk

import (
	"encoding/binary"
	"strings"
)

// file is a file of the root directory. Names are those of ISO 9660: capitals, and a version.
type file struct {
	name  string
	data  []byte
	block int
}

// describe writes the descriptors, the boot catalog and the root directory into the image d. There is no time in them:
// 1970 stands where one must.
func describe(d []byte, files []file, label string) {
	at := func(n int) []byte { return d[n*block : (n+1)*block] }

	root := at(blockRoot)
	n := copy(root, record("\x00", blockRoot, block, true))
	n += copy(root[n:], record("\x01", blockRoot, block, true))
	for _, f := range files {
		n += copy(root[n:], record(f.name, f.block, len(f.data), false))
	}

	// Path tables: the root, whose parent it is itself.
	copy(at(blockPathsLE), []byte{1, 0, blockRoot, 0, 0, 0, 1, 0, 0, 0})
	copy(at(blockPathsBE), []byte{1, 0, 0, 0, 0, blockRoot, 0, 1, 0, 0})

	v := at(blockVolume)
	copy(v, "\x01CD001\x01")
	spaces(v[8:72])
	copy(v[40:72], upper(label))
	both32(v[80:], len(d)/block)
	both16(v[120:], 1)
	both16(v[124:], 1)
	both16(v[128:], block)
	both32(v[132:], 10) // bytes of a path table
	binary.LittleEndian.PutUint32(v[140:], blockPathsLE)
	binary.BigEndian.PutUint32(v[148:], blockPathsBE)
	copy(v[156:], record("\x00", blockRoot, block, true))
	spaces(v[190:813])
	for i := 813; i < 881; i += 17 {
		copy(v[i:], "0000000000000000") // no time
	}
	v[881] = 1

	// El Torito: the BIOS loads the boot sector as it is, without pretending that there is a floppy.
	b := at(blockBoot)
	copy(b, "\x00CD001\x01EL TORITO SPECIFICATION")
	binary.LittleEndian.PutUint32(b[71:], blockCatalog)
	copy(at(blockTerminator), "\xffCD001\x01")
	c := at(blockCatalog)
	copy(c, []byte{1, 0})
	c[30], c[31] = 0x55, 0xaa
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += binary.LittleEndian.Uint16(c[i:])
	}
	binary.LittleEndian.PutUint16(c[28:], -sum)
	c[32] = 0x88                                        // bootable
	binary.LittleEndian.PutUint16(c[38:], block/sector) // what is loaded, in sectors
	binary.LittleEndian.PutUint32(c[40:], blockSector)
}

// record is an entry of a directory.
func record(name string, first, size int, directory bool) []byte {
	r := make([]byte, (33+len(name)+1)&^1)
	r[0] = byte(len(r))
	both32(r[2:], first)
	both32(r[10:], size)
	copy(r[18:], []byte{70, 1, 1, 0, 0, 0, 0})
	if directory {
		r[25] = 2
	}
	both16(r[28:], 1)
	r[32] = byte(len(name))
	copy(r[33:], name)
	return r
}

func both16(b []byte, v int) {
	binary.LittleEndian.PutUint16(b, uint16(v))
	binary.BigEndian.PutUint16(b[2:], uint16(v))
}

func both32(b []byte, v int) {
	binary.LittleEndian.PutUint32(b, uint32(v))
	binary.BigEndian.PutUint32(b[4:], uint32(v))
}

func spaces(b []byte) {
	for i := range b {
		b[i] = ' '
	}
}

// upper makes a name of the characters that a volume's may have.
func upper(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, strings.ToUpper(s))
}
