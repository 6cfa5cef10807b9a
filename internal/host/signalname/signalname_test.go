package signalname

import (
	"syscall"
	"testing"
)

func TestParse(t *testing.T) {
	for word, want := range map[string]syscall.Signal{
		"HUP": syscall.SIGHUP, "SIGQUIT": syscall.SIGQUIT, "sigusr1": syscall.SIGUSR1, "3": syscall.SIGQUIT, "64": 64,
		"RTMIN": 34, "SIGRTMIN+3": 37, "RTMAX-1": 63, "RTMAX": 64,
	} {
		if got, ok := Parse(word); !ok || got != want {
			t.Errorf("%s: %d, %t; want %d", word, got, ok, want)
		}
	}
	for _, word := range []string{"", "SIG", "NONE", "0", "-1", "65", "RTMIN-1", "RTMAX+1", "RTMIN3", "HUP "} {
		if got, ok := Parse(word); ok {
			t.Errorf("%q is signal %d", word, got)
		}
	}
}
