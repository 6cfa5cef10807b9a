// Package newc writes archives in the form "newc" of cpio, as the kernel unpacks them into its first file system
// (Documentation/driver-api/early-userspace/buffer-format.rst).
package newc

import (
	"fmt"
	"io"
)

// Magic begins the header of each member.
const Magic = "070701"

// Trailer is the name of the last member, which is empty.
const Trailer = "TRAILER!!!"

// Write writes one member: a header of hexadecimal numbers, the name and the data, the last two padded to 4 bytes. What
// is there already must end at a multiple of 4. Times, owners and inode numbers are 0, so that equal arguments give
// equal bytes.
func Write(w io.Writer, name string, mode int, data []byte) error {
	head := fmt.Appendf(nil, Magic+"%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0, name)
	for _, part := range [][]byte{head, data} {
		if _, err := w.Write(part); err != nil {
			return err
		}
		if _, err := w.Write(make([]byte, -len(part)&3)); err != nil {
			return err
		}
	}
	return nil
}
