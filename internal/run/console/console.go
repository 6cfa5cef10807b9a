// Package console is ukl's side of the streams between a guest and the world. It always reads what the guest says at
// once, because the guest's driver spins while the host does not read; what nobody takes is kept in memory up to a
// limit, then the guest has to wait.
package console

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"ukl/internal/host/socketpair"
	"ukl/internal/machine/qemu"
)

// Limit is how many bytes of one stream are kept for a slow reader before the guest has to wait.
const Limit = 64 << 20

// Console is the pairs of sockets. Make it with Open; the order of use is GuestFiles, start QEMU, Started, Pump, Wait,
// Close.
type Console struct {
	host  [qemu.Channels]*net.UnixConn
	guest [qemu.Channels]*os.File
	pumps []*pump
	// broken gets the errors of streams that ended before the guest did.
	broken chan error
}

// Open makes a pair of sockets for each channel.
func Open() (*Console, error) {
	c := &Console{broken: make(chan error, int(qemu.Channels))}
	for ch := range qemu.Channels {
		if err := c.pair(ch); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

func (c *Console) pair(ch qemu.Channel) (err error) {
	c.host[ch], c.guest[ch], err = socketpair.Open(ch.Name())
	return err
}

// GuestFiles are the guest's ends in the order of the channels, to be inherited by QEMU as descriptors 3 and up.
func (c *Console) GuestFiles() []*os.File { return c.guest[:] }

// Backends are QEMU's -chardev backends for GuestFiles.
func Backends() (b [qemu.Channels]string) {
	for ch := range qemu.Channels {
		b[ch] = fmt.Sprintf("socket,fd=%d", 3+int(ch))
	}
	return b
}

// Started closes ukl's copies of the guest's ends: from now on QEMU's end is the end of the streams.
func (c *Console) Started() {
	for ch := range qemu.Channels {
		c.guest[ch].Close()
		c.guest[ch] = nil
	}
}

// Pump starts to carry bytes; a nil stdin is an empty one. log gets the kernel's log in the goroutine that reads it, so
// it must not block; echo, if not nil, gets it as well and may.
func (c *Console) Pump(stdin io.Reader, stdout, stderr, log, echo io.Writer) {
	c.pumps = []*pump{
		newPump(c.host[qemu.Stdout], stdout, func(err error) { c.broken <- err }),
		newPump(c.host[qemu.Stderr], stderr, func(err error) {
			if errors.Is(err, syscall.EPIPE) { // programs seldom end because their stderr is full
				c.broken <- err
			}
		}),
	}
	if echo == nil {
		echo = io.Discard
	}
	c.pumps = append(c.pumps, newPump(io.TeeReader(c.host[qemu.Log], log), echo, nil))
	go feed(c.host[qemu.Stdin], stdin)
}

// Await waits until so many bytes of the guest's stdout and stderr have been read, after Pump: a guest that ends then
// loses none of them. It also returns at the end of a stream.
func (c *Console) Await(stdout, stderr int64) {
	c.pumps[0].await(stdout)
	c.pumps[1].await(stderr)
}

// Heard tells whether anything has come from the guest.
func (c *Console) Heard() bool {
	for _, p := range c.pumps {
		if p.heard.Load() {
			return true
		}
	}
	return false
}

// Broken gets the error when nobody reads stdout or stderr any more, or stdout cannot be written.
func (c *Console) Broken() <-chan error { return c.broken }

// Drained is closed when everything that the guest said has been written.
func (c *Console) Drained() <-chan struct{} {
	all := make(chan struct{})
	go func() {
		for _, p := range c.pumps {
			<-p.done
		}
		close(all)
	}()
	return all
}

// Close frees the sockets. What was not read by then is lost.
func (c *Console) Close() {
	for ch := range qemu.Channels {
		if c.guest[ch] != nil {
			c.guest[ch].Close()
		}
		if c.host[ch] != nil {
			c.host[ch].Close()
		}
	}
}

// feed carries stdin to the guest. The end of stdin is the end for the guest's reader; the socket itself stays open,
// since QEMU takes a hang-up for the loss of the whole channel.
func feed(guest *net.UnixConn, stdin io.Reader) {
	if stdin != nil {
		_, _ = io.Copy(guest, stdin) // whatever ended it, the guest's reader must learn of the end
	}
	_ = guest.CloseWrite()
}
