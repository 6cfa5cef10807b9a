// Package apptest runs the tests of an application. Each has a guest of its own, which is stopped as soon as the test
// is decided. A guest that cannot be run at all is an error; whatever it does wrong is a result.
package apptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"ukl/internal/app/manifest"
	"ukl/internal/machine/qemu"
	"ukl/internal/run/guest"
)

// Limit is how long a test may take without a limit of its own. A loaded machine that emulates its guest is slow.
const Limit = 2 * time.Minute

// Result is how a test went.
type Result struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Reason  string  `json:"reason,omitempty"` // why it is not OK
	// Lines show what came instead: where it crashed, and the ends of what the application and the kernel said.
	Lines []string `json:"output,omitempty"`
}

// errDecided ends a guest whose test needs it no longer.
var errDecided = errors.New("the test is decided")

// Run runs one test on a guest that o describes. o's arguments are used if the test has none. backtrace is asked where
// a signal has killed an application that it should not have killed.
func Run(ctx context.Context, t manifest.Test, o guest.Options,
	backtrace func(guest.Verdict) []string,
) (Result, error) {
	r := Result{Name: t.Name}
	start := time.Now()
	var stdout, stderr record
	if t.Args != nil {
		o.Argv = append(o.Argv[:1:1], t.Args...)
	}
	if o.Timeout == 0 {
		o.Timeout = Limit
	}
	o.Stdin, o.Stdout, o.Stderr = nil, &stdout, &stderr
	ctx, decide := context.WithCancelCause(ctx)
	defer decide(nil)
	var talk exchange
	o.Machine.Forwards = nil
	switch {
	case t.Port != 0:
		forwards, err := qemu.Reserve([]qemu.Forward{{Addr: "127.0.0.1", Guest: t.Port}})
		if err != nil {
			return r, err
		}
		o.Machine.Forwards = forwards
		talk = exchange{address: forwards[0].HostPort(), send: t.Send, expect: t.Expect}
		go func() {
			if talk.run(ctx); t.Status < 0 || talk.failed() {
				decide(errDecided)
			}
		}()
	default:
		if t.Expect != "" && t.Status < 0 {
			stdout.await(t.Expect, func() { decide(errDecided) })
		}
		if t.Send != "" {
			stdin, close, err := pipe(t.Send)
			if err != nil {
				return r, err
			}
			defer close()
			o.Stdin = stdin
		}
	}
	v, err := guest.Run(ctx, o)
	r.Seconds = time.Since(start).Seconds()
	var died *guest.Died
	switch {
	case errors.Is(err, errDecided):
	case errors.Is(err, guest.ErrTimeout):
		r.Reason = fmt.Sprintf("it was still running after %s", o.Timeout)
	case errors.As(err, &died):
		r.Reason = err.Error()
		r.Lines = died.Tail
		return r, nil
	case err != nil:
		return r, err
	case v.Signal != 0 && t.Status < 0:
		r.Reason = fmt.Sprintf("signal %d killed the application", v.Signal)
	case v.Signal != 0:
		r.Reason = fmt.Sprintf("signal %d killed the application; want status %d", v.Signal, t.Status)
	case t.Status >= 0 && v.Status != t.Status:
		r.Reason = fmt.Sprintf("status %d; want %d", v.Status, t.Status)
	}
	got := stdout.text()
	if t.Port != 0 {
		decide(errDecided) // and so the exchange ends
		got = talk.text()
	}
	if t.Expect != "" && !strings.Contains(got, t.Expect) {
		if r.Reason != "" {
			r.Reason += "; "
		}
		r.Reason += fmt.Sprintf("expected %q", t.Expect)
	}
	if r.OK = r.Reason == ""; !r.OK {
		where := "stdout"
		if t.Port != 0 {
			where = fmt.Sprintf("port %d", t.Port)
		}
		if v.Signal != 0 {
			r.Lines = backtrace(v)
		}
		r.Lines = slices.Concat(r.Lines, show(where, got), show("stderr", stderr.text()))
	}
	return r, nil
}

// shown is how much of an output a person wants to see.
const shown = 10

func show(what, text string) []string {
	if text == "" {
		return []string{"nothing on " + what}
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if n := len(lines) - shown; n > 0 {
		lines = append([]string{fmt.Sprintf("(%d lines before)", n)}, lines[n:]...)
	}
	for i, l := range lines {
		lines[i] = what + ": " + strings.ToValidUTF8(l, "?")
	}
	return lines
}

// pipe is a file that gives a text and then ends.
func pipe(text string) (*os.File, func(), error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	go func() {
		_, _ = io.WriteString(w, text) // an application need not read all
		w.Close()
	}()
	return r, func() { r.Close() }, nil
}

// most is how much of an output is kept.
const most = 16 << 20

// record keeps what is written to it.
type record struct {
	mu   sync.Mutex
	kept bytes.Buffer
	want []byte
	then func()
}

// await calls then once, as soon as text has been written.
func (r *record) await(text string, then func()) { r.want, r.then = []byte(text), then }

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := max(0, r.kept.Len()-len(r.want))
	r.kept.Write(b[:min(len(b), max(0, most-r.kept.Len()))])
	if r.then != nil && bytes.Contains(r.kept.Bytes()[from:], r.want) {
		r.then()
		r.then = nil
	}
	return len(b), nil
}

func (r *record) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept.String()
}

// exchange sends to a TCP port and reads what comes back. QEMU accepts connections before the guest does, and resets
// them when nobody is there: an end without a byte is no answer, and asked again.
type exchange struct {
	address, send, expect string

	mu  sync.Mutex
	got []byte
	end error // the connection ended, after bytes that are not what was expected
}

// again is the pause between attempts.
const again = 50 * time.Millisecond

func (e *exchange) run(ctx context.Context) {
	for ctx.Err() == nil {
		if e.once(ctx) {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// once tells whether there is nothing more to ask.
func (e *exchange) once(ctx context.Context) bool {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", e.address)
	if err != nil {
		return false
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if _, err := io.WriteString(c, e.send); err != nil {
		return false
	}
	if e.expect == "" {
		// A reset comes within the time that a packet takes through QEMU.
		_ = c.SetReadDeadline(time.Now().Add(10 * again))
		_, err := c.Read(make([]byte, 1))
		return err == nil || errors.Is(err, os.ErrDeadlineExceeded) || err == io.EOF
	}
	b := make([]byte, 64<<10)
	for n := 0; ; {
		k, err := c.Read(b)
		n += k
		if e.add(b[:k]) {
			return true
		}
		if err != nil {
			return n > 0 && e.finish(err)
		}
	}
}

// add tells whether the answer has come.
func (e *exchange) add(b []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.got = append(e.got, b[:min(len(b), max(0, most-len(e.got)))]...)
	return bytes.Contains(e.got, []byte(e.expect))
}

func (e *exchange) finish(err error) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.end = err
	return true
}

func (e *exchange) failed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.end != nil
}

func (e *exchange) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return string(e.got)
}
