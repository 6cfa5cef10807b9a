package guest

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"ukl/internal/machine/qemu"
	"ukl/internal/run/tcprelay"
)

// A door is a TCP port of the host that leads to the guest. ukl itself listens there before the machine starts, and
// holds the connections. When the guest listens, the door opens: ukl carries those that it held through a port that
// only it uses, and QEMU takes over the public one. So no client is refused, and none waits longer than the guest
// needs. QEMU alone would accept a connection, lose its first packet, and send that again after 6 seconds.
type door struct {
	forward  qemu.Forward
	listener *net.TCPListener
	relay    *tcprelay.Relay
	spares   []qemu.Forward // which QEMU takes the port over with; none where it cannot
	silent   bool           // nobody in the guest listens yet
	opening  sync.Once
}

// Times after which doors open for a guest that says nothing of its ports: they then lead where they lead without ukl.
// What the guest waited for a processor does not count.
const (
	// silence is how long a guest may take to speak on the control channel after its kernel has opened stdin. A kernel
	// that knows the channel does both at once.
	silence = 3 * time.Second
	// unheard is how long a kernel may take that does neither.
	unheard = 30 * time.Second
	// stubborn is how long the application may take to listen.
	stubborn = 30 * time.Second
)

// openDoors listens on the TCP ports of the host, and gives QEMU ports that only ukl uses. Without a control channel
// ukl cannot know when the guest listens: it listens only where QEMU cannot.
func (r *run) openDoors() error {
	var rest []qemu.Forward
	for _, f := range r.Machine.Forwards {
		if f.UDP || r.Machine.Counts() && !f.V6() {
			rest = append(rest, f)
			continue
		}
		l, err := qemu.Listen(f)
		if err != nil {
			return err
		}
		r.undos = append(r.undos, func() { l.Close() })
		r.doors = append(r.doors, &door{forward: f, listener: l, silent: true})
	}
	for n, d := range r.doors {
		inner, err := qemu.Reserve([]qemu.Forward{{Addr: "127.0.0.1", Guest: d.forward.Guest}})
		if err != nil {
			return err
		}
		d.relay = tcprelay.Start(d.listener, inner[0].HostPort())
		r.undos = append(r.undos, func() { d.relay.Close(flush) })
		rest = append(rest, inner[0])
		switch {
		case r.Machine.Counts():
			d.relay.Open()
		case !d.forward.V6():
			d.spares = qemu.Spares(n, d.forward.Guest)
		}
	}
	r.Machine.Forwards = rest
	return nil
}

// open opens a door, once.
func (r *run) open(d *door) {
	d.opening.Do(func() {
		d.relay.Open()
		if len(d.spares) == 0 {
			return
		}
		if err := r.qemu.Adopt(d.spares, d.listener); err == nil {
			d.relay.Retire()
		} else if r.Verbose {
			fmt.Fprintf(r.Stderr, "ukl: QEMU cannot take port %s over, so ukl carries its connections: %v\n",
				d.forward.HostPort(), err)
		}
	})
}

// listens is called when the guest listens on a port. The guest decides how often, so a port that concerns nobody costs
// nothing.
func (r *run) listens(port int) {
	if !slices.ContainsFunc(r.doors, func(d *door) bool { return d.forward.Guest == port }) {
		return
	}
	r.progress(func() {
		for _, d := range r.doors {
			if d.forward.Guest == port {
				d.silent = false
				go r.open(d)
			}
		}
	})
}

// attend waits for the guest's start, and opens the doors of a guest that does not say when.
func (r *run) attend() {
	heard, ready, mute := r.control.Heard(), r.monitor.Ready(), r.spent(unheard)
	for {
		select {
		case <-heard:
			heard, ready, mute = nil, nil, nil
		case <-ready:
			ready, mute = nil, r.spent(silence)
		case <-mute:
			r.progress(func() {
				r.running = true
				for _, d := range r.doors {
					d.silent = false
				}
			})
			r.openAll()
			return
		case <-r.control.Started():
			r.progress(func() { r.running = true })
			select {
			case <-r.spent(stubborn):
				r.openAll()
			case <-r.qemu.Done():
			}
			return
		case <-r.qemu.Done():
			return
		}
	}
}

// spent is closed when the machine has had some time.
func (r *run) spent(d time.Duration) <-chan struct{} { return spent(d, r.qemu.Starved, r.qemu.Done()) }

func (r *run) openAll() {
	for _, d := range r.doors {
		r.open(d)
	}
}

// progress changes what is known of the guest's state, and tells that.
func (r *run) progress(change func()) {
	r.state.Lock()
	defer r.state.Unlock()
	change()
	if r.Progress == nil {
		return
	}
	var silent []qemu.Forward
	for _, d := range r.doors {
		if d.silent {
			silent = append(silent, d.forward)
		}
	}
	r.Progress(r.running, silent)
}
