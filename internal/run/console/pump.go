package console

import (
	"io"
	"sync"
	"sync/atomic"
)

// pump moves one stream through a queue in memory, so that the reading side never waits for the writing side until the
// queue is full. After a failed write it goes on reading and throws away.
type pump struct {
	done  chan struct{} // closed when all is written or given up
	heard atomic.Bool   // something was read

	mu     sync.Mutex
	change sync.Cond
	took   int64 // bytes that were read and found room
	queue  []byte
	eof    bool
	dead   bool // the writer failed
}

// newPump starts to carry bytes. failed, if it is not nil, gets the error of the first write that fails.
func newPump(from io.Reader, to io.Writer, failed func(error)) *pump {
	p := &pump{done: make(chan struct{})}
	p.change.L = &p.mu
	go p.read(from)
	go p.write(to, failed)
	return p
}

func (p *pump) read(from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.heard.Store(true)
		}
		p.mu.Lock()
		for len(p.queue) >= Limit && !p.dead {
			p.change.Wait()
		}
		if !p.dead {
			p.queue = append(p.queue, buf[:n]...)
		}
		p.took += int64(n)
		p.eof = err != nil
		p.change.Broadcast()
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// await waits until so many bytes have been read, or no more come.
func (p *pump) await(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.took < n && !p.eof {
		p.change.Wait()
	}
}

func (p *pump) write(to io.Writer, failed func(error)) {
	defer close(p.done)
	var spare []byte
	for {
		p.mu.Lock()
		for len(p.queue) == 0 && !p.eof {
			p.change.Wait()
		}
		batch := p.queue
		p.queue = spare[:0]
		p.change.Broadcast()
		p.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		if _, err := to.Write(batch); err != nil {
			p.mu.Lock()
			p.dead, p.queue = true, nil
			p.change.Broadcast()
			p.mu.Unlock()
			if failed != nil {
				failed(err)
			}
			return
		}
		spare = batch
		if cap(spare) > 1<<20 { // a burst's memory is not kept
			spare = nil
		}
	}
}
