package disk

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// bzImage is a kernel of n sectors of real-mode code and some more.
func bzImage(sects, rest int) []byte {
	b := bytes.Repeat([]byte{0xcc}, (sects+1)*sector+rest)
	b[hdrSetupSects] = byte(sects)
	copy(b[hdrMagic:], "HdrS")
	le := binary.LittleEndian
	le.PutUint16(b[hdrVersion:], 0x20f)
	b[hdrLoadFlags] = flagLoadedHigh
	le.PutUint32(b[hdrRamdiskMax:], 0x7fffffff)
	le.PutUint32(b[hdrCmdlineSize:], 2047)
	le.PutUint64(b[hdrPrefAddress:], 0x1000000)
	le.PutUint32(b[hdrInitSize:], 0x900001)
	return b
}

func contents() Contents {
	boot := make([]byte, sector)
	boot[0], boot[510], boot[511] = 0xea, 0x55, 0xaa
	return Contents{
		Boot: boot, Kernel: bzImage(30, 100000), Initrd: []byte("070701"), Append: "console=ttyS0",
		Label: "a-b",
	}
}

func TestImage(t *testing.T) {
	c := contents()
	d, err := Image(c)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Image(c)
	if err != nil || !bytes.Equal(d, again) {
		t.Errorf("equal contents give other bytes: %v", err)
	}
	if len(d)%unit != 0 || !bytes.Equal(c.Boot[:needsAt], d[:needsAt]) {
		t.Error("no boot sector, or no whole size")
	}
	le := binary.LittleEndian
	if d[partitionAt] != 0x80 || le.Uint32(d[partitionAt+12:]) != uint32(len(d)/sector) || d[510] != 0x55 {
		t.Error("no active partition")
	}

	// What the boot sector of a CD loads is what the one of a disk does.
	cat := d[blockCatalog*block:]
	cd := d[le.Uint32(cat[40:])*block:]
	if !bytes.Equal(cd[tableAt:tableAt+tableSize], d[tableAt:tableAt+tableSize]) {
		t.Error("the CD loads something else")
	}
	var sum uint16
	for i := 0; i < 32; i += 2 {
		sum += le.Uint16(cat[i:])
	}
	if sum != 0 || cat[32] != 0x88 {
		t.Errorf("the boot catalog's sum is %#x", sum)
	}

	// Do what the boot sector does.
	memory := make([]byte, 64<<20)
	for e := d[tableAt : tableAt+tableSize]; len(e) > 0; e = e[12:] {
		from, n, to := le.Uint32(e), le.Uint32(e[4:]), le.Uint32(e[8:])
		copy(memory[to:], d[from*block:(from+n)*block])
	}
	h := memory[setupAddress:]
	text := memory[le.Uint32(h[hdrCmdline:]):]
	if got := string(text[:bytes.IndexByte(text, 0)]); got != c.Append {
		t.Errorf("command line %q", got)
	}
	at := le.Uint32(h[hdrRamdiskImage:])
	if at < 0x1900001 || at%4096 != 0 {
		t.Errorf("the initramfs is where the kernel unpacks itself: %#x", at)
	}
	if got := memory[at : at+le.Uint32(h[hdrRamdiskSize:])]; !bytes.Equal(got, c.Initrd) {
		t.Errorf("initramfs %q", got)
	}
	rest := c.Kernel[31*sector:]
	if !bytes.Equal(memory[kernelAddress:kernelAddress+len(rest)], rest) {
		t.Error("the kernel is not at 1 MB")
	}
	if setup := (int(h[hdrSetupSects]) + 1) * sector; setup%block != 0 || h[hdrLoadFlags]&flagUseHeap == 0 ||
		h[hdrLoader] != 0xff {
		t.Error("the header is not what a boot loader writes")
	}
}

// The file system has the files, at places where nothing else is.
func TestFiles(t *testing.T) {
	c := contents()
	d, err := Image(c)
	if err != nil {
		t.Fatal(err)
	}
	v := d[blockVolume*block:]
	if string(v[:7]) != "\x01CD001\x01" || strings.TrimSpace(string(v[40:72])) != "A_B" {
		t.Errorf("volume %q", v[:80])
	}
	got := map[string][]byte{}
	root := d[binary.LittleEndian.Uint32(v[156+2:])*block:]
	for r := root; r[0] != 0; r = r[r[0]:] {
		first, size := binary.LittleEndian.Uint32(r[2:]), binary.BigEndian.Uint32(r[14:])
		if name := string(r[33 : 33+r[32]]); name != "\x00" && name != "\x01" {
			got[name] = d[first*block : first*block+size]
			if first < blockFiles {
				t.Errorf("%s is at %d", name, first)
			}
		}
	}
	if len(got) != 3 || string(got["CMDLINE.;1"]) != c.Append || !bytes.Equal(got["INITRD.;1"], c.Initrd) {
		t.Errorf("files: %q", got)
	}
	if k := got["BZIMAGE.;1"]; !bytes.HasSuffix(k, c.Kernel[31*sector:]) || string(k[hdrMagic:hdrMagic+4]) != "HdrS" {
		t.Error("BZIMAGE is no kernel")
	}
}

func TestImageRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Contents)
		why    string
	}{
		"no kernel":    {func(c *Contents) { c.Kernel = []byte("\x7fELF") }, "not a bzImage"},
		"magic":        {func(c *Contents) { c.Kernel[hdrMagic] = 0 }, "not a bzImage"},
		"old":          {func(c *Contents) { c.Kernel[hdrVersion] = 0 }, "protocol, 2.0, is too old"},
		"cut":          {func(c *Contents) { c.Kernel = c.Kernel[:3000] }, "real-mode code has 15872 bytes"},
		"large setup":  {func(c *Contents) { c.Kernel = bzImage(127, 10) }, "real-mode code has 65536 bytes"},
		"command line": {func(c *Contents) { c.Append = strings.Repeat("x", 2048) }, "the limit is 2047"},
		"initramfs": {
			func(c *Contents) { binary.LittleEndian.PutUint32(c.Kernel[hdrRamdiskMax:], 0x1901000) },
			"the initramfs of 6 bytes ends above",
		},
		"boot sector": {func(c *Contents) { c.Boot = nil }, "no boot sector"},
	} {
		t.Run(name, func(t *testing.T) {
			in := contents()
			c.change(&in)
			if _, err := Image(in); err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("%v, want %s", err, c.why)
			}
		})
	}
}

// A large kernel reaches beyond where smaller ones unpack themselves.
func TestLargeKernel(t *testing.T) {
	c := contents()
	c.Kernel = bzImage(30, 40<<20)
	d, err := Image(c)
	if err != nil {
		t.Fatal(err)
	}
	h := d[blockFiles*block:]
	if at := binary.LittleEndian.Uint32(h[hdrRamdiskImage:]); at < kernelAddress+40<<20 {
		t.Errorf("the initramfs overwrites the kernel: %#x", at)
	}
}

// read is a qcow2 file as a disk, by its tables. Every cluster must have one reference.
func read(t *testing.T, q []byte) []byte {
	t.Helper()
	be := binary.BigEndian
	cluster := 1 << be.Uint32(q[20:])
	perTable := cluster / 8
	if string(q[:4]) != "QFI\xfb" || be.Uint32(q[4:]) != 3 || len(q)%cluster != 0 {
		t.Fatal("no qcow2")
	}
	refs := map[uint64]int{0: 1}
	take := func(e uint64) []byte {
		at := e &^ copied
		if at%uint64(cluster) != 0 || at == 0 || at >= uint64(len(q)) {
			t.Fatalf("a cluster at %#x", at)
		}
		refs[at/uint64(cluster)]++
		return q[at : at+uint64(cluster)]
	}
	out := make([]byte, be.Uint64(q[24:]))
	l1 := take(be.Uint64(q[40:]))
	for i := range be.Uint32(q[36:]) {
		l2 := take(be.Uint64(l1[8*i:]))
		for j := 0; j < perTable; j++ {
			if e := be.Uint64(l2[8*j:]); e != 0 {
				copy(out[(int(i)*perTable+j)*cluster:], take(e))
			}
		}
	}
	counts := take(be.Uint64(q[48:]))
	var all []byte
	for i := 0; be.Uint64(counts[8*i:]) != 0; i++ {
		all = append(all, take(be.Uint64(counts[8*i:]))...)
	}
	for i := range len(all) / 2 {
		if got, want := int(be.Uint16(all[2*i:])), refs[uint64(i)]; got != want {
			t.Fatalf("cluster %d has %d references and says %d", i, want, got)
		}
	}
	if len(refs) != len(q)/cluster {
		t.Errorf("%d clusters, of which %d are in use", len(q)/cluster, len(refs))
	}
	return out
}

func TestQCOW2(t *testing.T) {
	for _, size := range []int{sector, 1 << clusterBits, unit} {
		for _, bits := range []int{9, clusterBits} { // small clusters need several tables of each kind
			d := make([]byte, size)
			d[0], d[size-1] = 1, 2
			q := qcow2(d, bits)
			if !bytes.Equal(read(t, q), d) {
				t.Errorf("a disk of %d bytes in clusters of %d bits is another one", size, bits)
			}
			if len(q) > 10<<clusterBits {
				t.Errorf("zeros take room: %d bytes", len(q))
			}
			for i := range d {
				d[i] = byte(i >> 9)
			}
			if !bytes.Equal(read(t, qcow2(d, bits)), d) {
				t.Errorf("a full disk of %d bytes in clusters of %d bits is another one", size, bits)
			}
		}
	}
}

// The boot sector gets the machine's least memory in its own units, with half a MiB to spare.
func TestNeeds(t *testing.T) {
	for memory, want := range map[int]uint16{0: 0, 16: 0, 34: 18*16 - 8, 1 << 20: 1<<16 - 1} {
		c := contents()
		c.Memory = memory
		d, err := Image(c)
		if err != nil {
			t.Fatal(err)
		}
		if got := binary.LittleEndian.Uint16(d[needsAt:]); got != want {
			t.Errorf("%d MiB: %d, want %d", memory, got, want)
		}
	}
}
