package guest

import (
	"errors"
	"syscall"
)

// Signals carry what others want to send to the application of a run.
type Signals chan delivery

type delivery struct {
	signal syscall.Signal
	result chan<- error
}

// Reasons why the application does not get a signal.
var (
	errNotStarted = errors.New("the application has not been started yet")
	errNoChannel  = errors.New("this guest takes no signals: QEMU counts its instructions, or its kernel is not ukl's")
)

// Send sends a signal to the application, which must run. The error says why it does not get it. Send does not return
// after the end of the run.
func (s Signals) Send(n syscall.Signal) error {
	result := make(chan error, 1)
	s <- delivery{n, result}
	return <-result
}

// deliver hands a signal to the guest's kernel.
func (r *run) deliver(n syscall.Signal) error {
	switch {
	case r.control == nil:
		return errNoChannel
	case !r.hasStarted():
		return errNotStarted
	}
	return r.control.Signal(n)
}
