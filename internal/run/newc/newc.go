// Package newc writes archives in the form "newc" of cpio, as the kernel unpacks them into its first file system
// (Documentation/driver-api/early-userspace/buffer-format.rst).
package newc

import (
	"bytes"
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
	return Copy(w, name, mode, int64(len(data)), bytes.NewReader(data))
}

// Copy is Write with data that is read, which must have the size.
func Copy(w io.Writer, name string, mode int, size int64, data io.Reader) error {
	head := fmt.Appendf(nil, Magic+"%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		0, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	if _, err := w.Write(append(head, make([]byte, -len(head)&3)...)); err != nil {
		return err
	}
	switch n, err := io.CopyN(w, data, size); {
	case err == io.EOF:
		return fmt.Errorf("%s has %d bytes instead of %d: %w", name, n, size, io.ErrUnexpectedEOF)
	case err != nil:
		return err
	}
	_, err := w.Write(make([]byte, -size&3))
	return err
}

// Size is how many bytes Write writes.
func Size(name string, size int64) int64 {
	const header = 110
	round := func(n int64) int64 { return (n + 3) &^ 3 }
	return round(header+int64(len(name))+1) + round(size)
}
