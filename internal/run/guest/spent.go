package guest

import "time"

// most is how many times as long as it should take a machine that gets no processor may take.
const most = 10

// spent is closed when some time has passed in which a machine could run: the time for which it waited for a processor
// of the host, as starved tells it, does not count, up to a limit. It is never closed once the machine is done.
func spent(d time.Duration, starved func() time.Duration, done <-chan struct{}) <-chan struct{} {
	c := make(chan struct{})
	start, before := time.Now(), starved()
	go func() {
		for {
			passed := time.Since(start)
			left := min(d-passed+starved()-before, most*d-passed)
			if left <= 0 {
				close(c)
				return
			}
			select {
			case <-time.After(left):
			case <-done:
				return
			}
		}
	}()
	return c
}
