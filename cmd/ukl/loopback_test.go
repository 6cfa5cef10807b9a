package main

import (
	"io"
	"net"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// loopback is the verb `loopback NAME`: it serves TCP and UDP at a port of 127.0.0.1, which $NAME then is, until the
// script ends. Whoever connects gets one line, and whoever sends a datagram gets it back.
func loopback(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: loopback NAME")
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	ts.Check(err)
	u, err := net.ListenPacket("udp4", l.Addr().String())
	ts.Check(err)
	ts.Defer(func() { l.Close(); u.Close() })
	_, port, _ := strings.Cut(l.Addr().String(), ":")
	ts.Setenv(args[0], port)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, "a secret of the host\n")
			c.Close()
		}
	}()
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := u.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = u.WriteTo(b[:n], from)
		}
	}()
}
