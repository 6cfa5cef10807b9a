package instance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"ukl/internal/host/signalname"
)

// socketFile is where an owner takes requests, from its own user only, as the directory is nobody else's: one line of
// JSON each way, and the connection ends.
const socketFile = "socket"

type request struct {
	Signal syscall.Signal `json:"signal"`
}

type answer struct {
	Error string `json:"error,omitempty"`
}

// Limits of requests, whoever sends them.
const (
	longest = 10 * time.Second // that one may take
	largest = 1 << 10          // bytes that one may have
	atOnce  = 16               // that are served at once
)

// address is the socket's in a form that fits into 108 bytes (unix(7)), whatever the directory; it is good while dir is
// open.
func address(dir *os.File) *net.UnixAddr {
	return &net.UnixAddr{
		Name: filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), socketFile),
		Net:  "unix",
	}
}

// Serve takes requests for signals until the process ends, and has deliver send them to the application.
func (o *Own) Serve(deliver func(syscall.Signal) error) error {
	dir, err := os.Open(o.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	a := address(dir)
	if err := os.Remove(a.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l, err := net.ListenUnix("unix", a)
	if err != nil {
		return err
	}
	go func() {
		places := make(chan struct{}, atOnce)
		for {
			places <- struct{}{}
			c, err := l.AcceptUnix()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // there are too many open files: some will be closed
				time.Sleep(look)
				<-places
				continue
			}
			go func() {
				serve(c, deliver)
				<-places
			}()
		}
	}()
	return nil
}

func serve(c *net.UnixConn, deliver func(syscall.Signal) error) {
	defer c.Close()
	var asked request
	if c.SetDeadline(time.Now().Add(longest)) != nil ||
		json.NewDecoder(io.LimitReader(c, largest)).Decode(&asked) != nil ||
		asked.Signal < 1 || asked.Signal > signalname.Last {
		return
	}
	var said answer
	switch err := deliver(asked.Signal); {
	case errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return // the guest is at its end, and this process with it
	case err != nil:
		said.Error = err.Error()
	}
	_ = json.NewEncoder(c).Encode(said) // who asked may be gone
}

// Signal has an instance send a signal to its application.
func (s Store) Signal(ctx context.Context, name string, sig syscall.Signal) error {
	i, err := s.Get(name)
	if err != nil {
		return err
	}
	if !i.Running {
		return fmt.Errorf("%s has ended", name)
	}
	dir, err := os.Open(filepath.Join(s.Dir, name))
	if err != nil {
		return err
	}
	defer dir.Close()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", address(dir).Name)
	if err != nil {
		return s.unheard(name, err)
	}
	defer c.Close()
	deadline, _ := ctx.Deadline()
	var said answer
	err = errors.Join(c.SetDeadline(deadline), json.NewEncoder(c).Encode(request{sig}))
	if err == nil {
		err = json.NewDecoder(c).Decode(&said)
	}
	switch {
	case err != nil:
		return s.unheard(name, err)
	case said.Error != "":
		return fmt.Errorf("%s: %s", name, said.Error)
	}
	return nil
}

// unheard says why an instance does not answer. It may have ended in the meantime: its ukl closes the socket and then
// lets go of the lock, all within a moment.
func (s Store) unheard(name string, err error) error {
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(look) {
		if i, gerr := s.Get(name); gerr != nil || !i.Running {
			return fmt.Errorf("%s has ended", name)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s belongs to an older ukl, which takes no signals", name)
	}
	return fmt.Errorf("%s does not answer: %w", name, err)
}
