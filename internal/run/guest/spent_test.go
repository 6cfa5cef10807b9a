package guest

import (
	"testing"
	"time"
)

// Time without a processor does not count, up to a limit.
func TestSpent(t *testing.T) {
	const d = 50 * time.Millisecond
	start := time.Now()
	running := func() time.Duration { return time.Hour }
	half := func() time.Duration { return time.Hour + time.Since(start)/2 }
	never := func() time.Duration { return time.Since(start) }
	for _, c := range []struct {
		starved func() time.Duration
		least   time.Duration
	}{{running, d}, {half, 2 * d}, {never, most * d}} {
		start = time.Now()
		<-spent(d, c.starved, nil)
		if got := time.Since(start); got < c.least-d/10 {
			t.Errorf("after %s, want at least %s", got, c.least)
		}
	}
	done := make(chan struct{})
	close(done)
	select {
	case <-spent(time.Minute, running, done):
		t.Error("a machine that has ended is late")
	case <-time.After(d):
	}
}
