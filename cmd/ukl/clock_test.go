package main

import (
	"encoding/binary"
	"net"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// clock NAME sends back each datagram that comes to a UDP port of 127.0.0.1, and behind it the nanoseconds of
// CLOCK_REALTIME, 8 bytes of little endian, until the script ends. It puts the port's number into the variable NAME.
func clock(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: clock NAME")
	}
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	ts.Check(err)
	ts.Defer(func() { c.Close() })
	go func() {
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			answer := binary.LittleEndian.AppendUint64(b[:n:n], uint64(time.Now().UnixNano()))
			_, _ = c.WriteToUDPAddrPort(answer, from) // who asked may be gone
		}
	}()
	ts.Setenv(args[0], strconv.Itoa(c.LocalAddr().(*net.UDPAddr).Port))
}
