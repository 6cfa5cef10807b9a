package disk

import (
	"encoding/binary"
	"fmt"
)

// Addresses of what the boot sector loads. It moves it there through a buffer at 0x20000.
const (
	setupAddress  = 0x40000 // SETUP in boot.S
	heapEnd       = 0xd000  // of the real-mode code, from its begin; the stack is between it and the command line
	appendAddress = setupAddress + 0xe000
	kernelAddress = 0x100000
)

// Fields of a kernel's header, by Documentation/x86/boot.rst. A boot loader writes the lower group.
const (
	hdrSetupSects   = 0x1f1
	hdrMagic        = 0x202
	hdrVersion      = 0x206
	hdrLoadFlags    = 0x211
	hdrRamdiskMax   = 0x22c
	hdrCmdlineSize  = 0x238
	hdrPrefAddress  = 0x258
	hdrInitSize     = 0x260
	hdrEnd          = 0x264
	protocolVersion = 0x20c // of Linux 3.8: the first with all of these

	hdrVidMode      = 0x1fa
	hdrLoader       = 0x210
	hdrRamdiskImage = 0x218
	hdrRamdiskSize  = 0x21c
	hdrHeapEnd      = 0x224
	hdrCmdline      = 0x228

	flagLoadedHigh = 1 << 0
	flagUseHeap    = 1 << 7
)

// kernel is a bzImage as it stands on the disk.
type kernel struct {
	image  []byte
	setup  int    // bytes of the real-mode code, whole blocks
	initrd uint32 // address that the initramfs must have
}

// prepare does a boot loader's part: it writes into a bzImage's header where command line and initramfs will be. The
// real-mode code is filled up to whole blocks, so that the rest begins with one, too.
func prepare(bzImage []byte, initrd int, cmdline string) (kernel, error) {
	if len(bzImage) < hdrEnd || string(bzImage[hdrMagic:hdrMagic+4]) != "HdrS" {
		return kernel{}, fmt.Errorf("not a bzImage")
	}
	le := binary.LittleEndian
	if v := le.Uint16(bzImage[hdrVersion:]); v < protocolVersion || bzImage[hdrLoadFlags]&flagLoadedHigh == 0 {
		return kernel{}, fmt.Errorf("the kernel's boot protocol, %d.%d, is too old", v>>8, v&0xff)
	}
	sects := int(bzImage[hdrSetupSects])
	if sects == 0 {
		sects = 4
	}
	setup := (sects + 1) * sector
	whole := blocks(setup) * block
	if len(bzImage) <= setup || whole > heapEnd {
		return kernel{}, fmt.Errorf("the bzImage is damaged: its real-mode code has %d bytes", setup)
	}
	if most := int(min(le.Uint32(bzImage[hdrCmdlineSize:]), block-1)); len(cmdline) > most {
		return kernel{}, fmt.Errorf("the kernel's command line has %d bytes, and the limit is %d", len(cmdline), most)
	}

	// The kernel unpacks itself between pref_address and pref_address+init_size, and lies packed from 1 MB on.
	at := max(le.Uint64(bzImage[hdrPrefAddress:])+uint64(le.Uint32(bzImage[hdrInitSize:])),
		kernelAddress+uint64(len(bzImage)))
	at = (at + 0xfff) &^ 0xfff
	if at+uint64(initrd) > uint64(le.Uint32(bzImage[hdrRamdiskMax:])) {
		return kernel{}, fmt.Errorf("the initramfs of %d bytes ends above the memory that the kernel may use for it", initrd)
	}

	image := make([]byte, whole, whole+len(bzImage)-setup)
	copy(image, bzImage[:setup])
	image = append(image, bzImage[setup:]...)
	image[hdrSetupSects] = byte(whole/sector - 1)
	le.PutUint16(image[hdrVidMode:], 0xffff) // "normal"
	image[hdrLoader] = 0xff                  // one without a number
	image[hdrLoadFlags] |= flagUseHeap
	le.PutUint16(image[hdrHeapEnd:], heapEnd-0x200)
	le.PutUint32(image[hdrCmdline:], appendAddress)
	le.PutUint32(image[hdrRamdiskImage:], uint32(at))
	le.PutUint32(image[hdrRamdiskSize:], uint32(initrd))
	return kernel{image, whole, uint32(at)}, nil
}
