package crash

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The kernel of this machine sends the signals, so the codes are not the test's.
func TestSenders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sender")
	if out, err := exec.Command("gcc", "-static", "-o", file, "testdata/sender.c").CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	for how, want := range map[string]string{
		"file":          "SIGXFSZ (a file would grow beyond what RLIMIT_FSIZE permits, or kill() sent it)",
		"cpu":           "SIGXCPU (the application used up the CPU time that RLIMIT_CPU or RLIMIT_RTTIME permits)",
		"terminal":      "SIGQUIT (the quit key of a terminal)",
		"kill 3":        "SIGQUIT (sent by kill())",
		"kill 24":       "SIGXCPU (sent by kill())",
		"sigqueue":      "SIGABRT (sent by sigqueue())",
		"raise 6":       "SIGABRT (the application called abort(), or an assertion failed)",
		"raise 11":      "SIGSEGV (sent by raise(), pthread_kill() or tgkill())",
		"timer":         "SIGQUIT (a timer of timer_create() ran out)",
		"descriptor 3":  "SIGQUIT (a file descriptor became ready, as F_SETSIG of fcntl() asked)",
		"descriptor 25": "SIGXFSZ (a file descriptor became ready, as F_SETSIG of fcntl() asked)",
		"descriptor 11": "SIGSEGV (a file descriptor became ready, as F_SETSIG of fcntl() asked)",
		"message":       "SIGABRT (a message came into a queue, as mq_notify() asked)",
		"aio":           "SIGABRT (asynchronous input or output, such as aio_read(), ended)",
	} {
		out, err := exec.Command(file, strings.Fields(how)...).CombinedOutput()
		var r Report
		if _, serr := fmt.Sscan(string(out), &r.Signal, &r.Code); err != nil || serr != nil {
			t.Errorf("%s: %v, %v\n%s", how, err, serr, out)
			continue
		}
		if got := r.Cause(); got != want {
			t.Errorf("%s: %s\nwant %s", how, got, want)
		}
	}
}

// A code that nobody knows is told as a number, and never as what another signal's means.
func TestUnknownCode(t *testing.T) {
	for _, r := range []Report{
		{Signal: 11, Code: 6}, {Signal: 8, Code: 20}, {Signal: 3, Code: 7}, {Signal: 6, Code: -61}, {Signal: 25, Code: 129},
	} {
		if got, want := r.why(), fmt.Sprintf("code %d, address 0x0", r.Code); got != want {
			t.Errorf("signal %d: %s; want %s", r.Signal, got, want)
		}
	}
}
