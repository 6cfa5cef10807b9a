package console

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// retry is how often a program in the background looks whether it has become the foreground.
const retry = 200 * time.Millisecond

// patient reads a terminal only while ukl is in its foreground. Reading it from the background would stop ukl, and with
// it the server that somebody started with "&".
type patient struct{ f *os.File }

// Foreground reads f, and a terminal only while ukl is in its foreground. It makes a background read an error (EIO)
// instead of a stop of the whole process: nothing in ukl wants to be stopped so.
func Foreground(f *os.File) io.Reader {
	signal.Ignore(syscall.SIGTTIN)
	return &patient{f}
}

func (p *patient) Read(b []byte) (int, error) {
	for {
		for p.background() {
			time.Sleep(retry)
		}
		n, err := p.f.Read(b)
		// Between the look and the read the shell may have taken the terminal back: with SIGTTIN ignored that is EIO.
		if n <= 0 && errors.Is(err, syscall.EIO) && p.background() {
			continue
		}
		return n, err
	}
}

func (p *patient) background() bool {
	group, err := unix.IoctlGetInt(int(p.f.Fd()), unix.TIOCGPGRP)
	return err == nil && group != unix.Getpgrp()
}
