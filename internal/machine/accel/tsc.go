package accel

import (
	"slices"
	"time"
)

// readTSC is the CPU's time stamp counter.
func readTSC() uint64

// window is how long the counter is compared with the clock. Reading both takes well under a microsecond, so 10 ms give
// the frequency to better than a ten-thousandth, which is more than a kernel's delay loops need.
const window = 10 * time.Millisecond

// measureTSC returns the counter's frequency in kHz: the median of three windows, so that one preemption does no harm.
func measureTSC() int {
	var khz []int
	for range 3 {
		t0, c0 := stamp()
		time.Sleep(window)
		t1, c1 := stamp()
		khz = append(khz, int(float64(c1-c0)/float64(t1.Sub(t0).Nanoseconds())*1e6+0.5))
	}
	slices.Sort(khz)
	return khz[1]
}

// stamp reads clock and counter together: of several tries it takes the one in which the least time passed in between.
func stamp() (best time.Time, counter uint64) {
	least := time.Hour
	for range 5 {
		before := time.Now()
		c := readTSC()
		if d := time.Since(before); d < least {
			least, best, counter = d, before.Add(d/2), c
		}
	}
	return best, counter
}
