// Package echo talks to an echo server: several connections at once, each sending numbered payloads and waiting until
// all of their bytes have come back. It measures round trips and believes nothing: a wrong byte ends everything with an
// error.
package echo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Defaults of the original client, which never stopped.
const (
	DefaultConnections = 10
	DefaultRounds      = 100
	DefaultSize        = 1024
	DefaultPort        = "5555"
)

// Banner is what the multi-threaded server says first. It may end in a line break.
const Banner = "Multi-threaded TCP server"

// Options describe a conversation.
type Options struct {
	Address     string // host:port
	Connections int
	Rounds      int           // on each connection
	Size        int           // bytes of a payload
	Patience    time.Duration // for one answer
	// Trip is told of each round trip, from many goroutines. An error of it ends the conversation.
	Trip func(Trip) error
}

// Trip is one payload and its return.
type Trip struct {
	Thread, Round int // from 1
	Took          time.Duration
	Banner        string // what the server said before, in round 1
}

// Summary is what a conversation came to.
type Summary struct {
	Connections int     `json:"connections"`
	Count       int     `json:"roundTrips"`
	Bytes       int64   `json:"bytes"` // each way
	Seconds     float64 `json:"seconds"`
	Min         float64 `json:"minMs"`
	Median      float64 `json:"medianMs"`
	P99         float64 `json:"p99Ms"`
	Max         float64 `json:"maxMs"`
}

func (s Summary) String() string {
	return fmt.Sprintf("%d round trips on %d connections in %.1f s: min %.3f ms, median %.3f ms, p99 %.3f ms, max %.3f ms",
		s.Count, s.Connections, s.Seconds, s.Min, s.Median, s.P99, s.Max)
}

// Mismatch is an answer that is not what was sent.
type Mismatch struct {
	Thread, Round int
	Offset        int // of the first wrong byte
	Want, Got     byte
}

func (e *Mismatch) Error() string {
	return fmt.Sprintf("thread %d, round %d: byte %d came back as %#02x, not %#02x", e.Thread, e.Round, e.Offset, e.Got,
		e.Want)
}

// ErrClosed is the end of a connection in the middle of a conversation.
var ErrClosed = errors.New("the server closed the connection")

// Address completes HOST[:PORT]. An IPv6 address that has a port is in brackets.
func Address(s string) (string, error) {
	if s == "" {
		s = "127.0.0.1"
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), DefaultPort
		if _, err := netip.ParseAddr(host); err != nil && strings.Contains(host, ":") {
			return "", fmt.Errorf("%q is not an address: want HOST[:PORT]", s)
		}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", fmt.Errorf("%q: want HOST[:PORT], with a port from 1 to 65535", s)
	}
	return net.JoinHostPort(host, port), nil
}

// Run holds the conversation. The summary counts what was done, also when an error or ctx ended it.
func Run(ctx context.Context, o Options) (Summary, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var trips []time.Duration
	start := time.Now()
	var wg sync.WaitGroup
	for n := range o.Connections {
		wg.Go(func() {
			err := talk(ctx, n+1, o, func(t Trip) error {
				mu.Lock()
				defer mu.Unlock()
				trips = append(trips, t.Took)
				if o.Trip == nil {
					return nil
				}
				return o.Trip(t)
			})
			if err != nil {
				cancel(err) // the first error is the cause; those that it brings about are not
			}
		})
	}
	wg.Wait()
	return summarise(trips, o, time.Since(start)), context.Cause(ctx)
}

func summarise(trips []time.Duration, o Options, took time.Duration) Summary {
	s := Summary{
		Connections: o.Connections, Count: len(trips), Bytes: int64(len(trips)) * int64(o.Size),
		Seconds: took.Seconds(),
	}
	if len(trips) == 0 {
		return s
	}
	slices.Sort(trips)
	// The nearest-rank percentile: a value that occurred.
	rank := func(p int) float64 { return ms(trips[max((len(trips)*p+99)/100-1, 0)]) }
	s.Min, s.Median, s.P99, s.Max = ms(trips[0]), rank(50), rank(99), ms(trips[len(trips)-1])
	return s
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// early is how long a server may close connections before it has said a byte: QEMU takes them as soon as the machine
// starts, and closes them while nothing in the guest listens.
const early = 10 * time.Second

// talk is one connection; one that was too early is tried again.
func talk(ctx context.Context, thread int, o Options, trip func(Trip) error) error {
	for start := time.Now(); ; {
		err := connect(ctx, thread, o, trip)
		if !errors.Is(err, errEarly) {
			return err
		}
		if ctx.Err() != nil || time.Since(start) > min(early, o.Patience) {
			return fmt.Errorf("thread %d, round 1: %w", thread, ErrClosed)
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// errEarly is the end of a connection on which the server has not said a byte.
var errEarly = errors.New("closed without a byte")

// connect is one connection, as far as it goes.
func connect(ctx context.Context, thread int, o Options, trip func(Trip) error) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	answer := make([]byte, o.Size)
	for round := 1; round <= o.Rounds; round++ {
		sent := payload(thread, round, o.Size)
		start := time.Now()
		if err := conn.SetDeadline(start.Add(o.Patience)); err != nil {
			return err
		}
		// A server may answer before it has read all: writing and reading must not wait for each other.
		failed := make(chan error, 1)
		go func() {
			_, err := conn.Write(sent)
			failed <- err
		}()
		said := &first{Reader: conn}
		banner, err := receive(said, answer, round == 1)
		took := time.Since(start)
		if werr := <-failed; err == nil {
			err = werr
		}
		if err != nil {
			err = failure(err, thread, round, o)
			if round == 1 && !said.any && errors.Is(err, ErrClosed) {
				return errEarly
			}
			return err
		}
		if i := different(sent, answer); i >= 0 {
			return &Mismatch{thread, round, i, sent[i], answer[i]}
		}
		if err := trip(Trip{thread, round, took, banner}); err != nil {
			return err
		}
	}
	return nil
}

// first remembers whether a byte came.
type first struct {
	io.Reader
	any bool
}

func (f *first) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	f.any = f.any || n > 0
	return n, err
}

func failure(err error, thread, round int, o Options) error {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err,
		syscall.EPIPE):
		err = ErrClosed
	case errors.As(err, &timeout) && timeout.Timeout():
		err = fmt.Errorf("no answer within %s: %w", o.Patience, err)
	}
	return fmt.Errorf("thread %d, round %d: %w", thread, round, err)
}

// receive fills answer, after the banner if the first bytes are one.
func receive(r io.Reader, answer []byte, first bool) (banner string, err error) {
	if !first {
		_, err = io.ReadFull(r, answer)
		return "", err
	}
	head := make([]byte, min(len(answer), len(Banner)))
	if _, err := io.ReadFull(r, head); err != nil {
		return "", err
	}
	if strings.HasPrefix(Banner, string(head)) { // a payload begins with a digit: see payload
		rest := make([]byte, len(Banner)-len(head)+1)
		if _, err := io.ReadFull(r, rest); err != nil {
			return "", err
		}
		banner, head = Banner, bytes.TrimLeft(rest[len(rest)-1:], "\r\n")
		for len(head) == 0 {
			if _, err := io.ReadFull(r, rest[:1]); err != nil {
				return "", err
			}
			head = bytes.TrimLeft(rest[:1], "\r\n")
		}
	}
	n := copy(answer, head)
	_, err = io.ReadFull(r, answer[n:])
	return banner, err
}

// payload is a counter line, filled up with bytes that differ between threads, rounds and offsets. It begins with a
// digit, which no banner does.
func payload(thread, round, size int) []byte {
	b := fmt.Appendf(nil, "%d %d\n", round, thread)
	for x := (uint32(thread)<<16 ^ uint32(round)*2654435761) | 1; len(b) < size; {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		b = append(b, byte(x))
	}
	return b[:size]
}

// different is the first index where two slices of one length differ; -1 if there is none.
func different(a, b []byte) int {
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
