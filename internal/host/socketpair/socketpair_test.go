package socketpair

import (
	"io"
	"testing"

	"golang.org/x/sys/unix"
)

// Both directions carry, an end arrives, and no program that is executed inherits a line by accident.
func TestOpen(t *testing.T) {
	ours, theirs, err := Open("line")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	io.WriteString(theirs, "there")
	b := make([]byte, 5)
	if _, err := io.ReadFull(ours, b); err != nil || string(b) != "there" {
		t.Errorf("%q, %v", b, err)
	}
	io.WriteString(ours, "back.")
	if _, err := io.ReadFull(theirs, b); err != nil || string(b) != "back." {
		t.Errorf("%q, %v", b, err)
	}
	if flags, err := unix.FcntlInt(theirs.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the child's end has the flags %#x, %v", flags, err)
	}
	if theirs.Name() != "line" {
		t.Errorf("its name is %q", theirs.Name())
	}
	theirs.Close()
	if n, err := ours.Read(b); n != 0 || err != io.EOF {
		t.Errorf("after the end: %d, %v", n, err)
	}
}
