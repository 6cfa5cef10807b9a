// Package connset keeps the open connections of a server, which all end when the server does.
package connset

import (
	"net"
	"sync"
)

// Set is some open connections. The zero value is empty.
type Set struct {
	mu      sync.Mutex
	conns   map[net.Conn]bool
	refuses bool
}

// Keep remembers a connection until done is called, which closes it. After Refuse or Close it closes it at once, and ok
// is false.
func (s *Set) Keep(c net.Conn) (done func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuses {
		c.Close()
		return nil, false
	}
	if s.conns == nil {
		s.conns = map[net.Conn]bool{}
	}
	s.conns[c] = true
	return func() {
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
	}, true
}

// Len is how many connections are kept.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Refuse keeps no more connections from now on.
func (s *Set) Refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = true
}

// Close refuses more connections, and closes all that are kept.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses = true
	for c := range s.conns {
		c.Close()
	}
}
