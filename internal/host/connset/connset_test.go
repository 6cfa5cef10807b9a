package connset

import (
	"net"
	"testing"
	"time"
)

// What is kept ends with the set; what comes later ends at once.
func TestSet(t *testing.T) {
	closed := func(c net.Conn) bool { return c.SetDeadline(time.Time{}) != nil }
	var s Set
	kept, _ := net.Pipe()
	gone, _ := net.Pipe()
	late, _ := net.Pipe()
	if _, ok := s.Keep(kept); !ok || closed(kept) {
		t.Error("it does not keep a connection")
	}
	done, ok := s.Keep(gone)
	if !ok {
		t.Fatal("it does not keep a second one")
	}
	if done(); !closed(gone) || s.Len() != 1 {
		t.Error("done does not end a connection")
	}
	s.Refuse()
	if _, ok := s.Keep(late); ok || !closed(late) || closed(kept) {
		t.Error("it does not refuse, or ends what it keeps")
	}
	if s.Close(); !closed(kept) {
		t.Error("what it keeps does not end")
	}
}
