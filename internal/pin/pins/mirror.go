package pins

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ukl/internal/host/regular"
	"ukl/internal/pin/seeds"
)

const (
	// DefaultMirror is asked after all that the user named. nixexprs/default.nix has the same.
	DefaultMirror = "https://mirrors.kernel.org/debian"
	// DefaultSnapshot keeps every version of every package for ever: https://snapshot.debian.org.
	DefaultSnapshot = "https://snapshot.debian.org/archive"
	// NoMirror as a mirror keeps Fetch off the network, but for apt's mirrors.
	NoMirror = "none"
)

// mirror is a server that has Debian's archives.
type mirror struct {
	name string // for messages
	// addresses are where the server may have a pin, the likeliest first; none is nowhere.
	addresses func(Pin) []string
}

// mirrors are the servers to ask, in order.
func (o Options) mirrors() []mirror {
	if o.Mirror == NoMirror {
		return nil
	}
	var list []mirror
	for _, base := range []string{o.Mirror, DefaultMirror} {
		if base == "" || base == DefaultMirror && o.NoPublic {
			continue
		}
		base = strings.TrimSuffix(base, "/")
		list = append(list, mirror{redacted(base), func(p Pin) []string {
			if p.Path == "" {
				return nil
			}
			return []string{archiveAt(base, p.Archive) + "/" + p.Path}
		}})
	}
	if base := strings.TrimSuffix(o.Snapshot, "/"); base != "" {
		list = append(list, snapshot(base))
	} else if !o.NoPublic {
		list = append(list, snapshot(DefaultSnapshot))
	}
	return list
}

// redacted is an address without the password that it may have, for messages.
func redacted(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Redacted()
}

// archiveAt is the address of an archive at a mirror: the security archive is beside that of the release, as on
// Debian's own servers.
func archiveAt(base, archive string) string {
	if archive == Security && strings.HasSuffix(base, "/debian") {
		return base + "-security"
	}
	return base
}

// snapshot is a snapshot archive. Its server answers for the newest state that is not younger than the time in the
// address. A lock may be a little older than the first state that has its newest packages, so the day after is asked as
// well.
func snapshot(base string) mirror {
	return mirror{redacted(base), func(p Pin) []string {
		made, err := time.Parse(stamp, p.snapshot)
		if err != nil || p.Path == "" {
			return nil
		}
		archive := "debian"
		if p.Archive == Security {
			archive = "debian-security"
		}
		var list []string
		for _, t := range []time.Time{made, made.AddDate(0, 0, 1)} {
			list = append(list, base+"/"+archive+"/"+t.Format(stamp)+"/"+p.Path)
		}
		return list
	}}
}

// unfit ends the work with one server, without ending Fetch.
type unfit struct{ reason error }

func (e *unfit) Error() string { return e.reason.Error() }

// mirror downloads what one server has, the largest files first. A server that is down, falls silent, or sends
// something else than files of a pool is skipped.
func (f *fetch) mirror(ctx context.Context, m mirror) error {
	pins := slices.DeleteFunc(f.wanted(), func(p Pin) bool { return len(m.addresses(p)) == 0 })
	if len(pins) == 0 {
		return nil
	}
	f.from(m.name)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan Pin)
	var wg sync.WaitGroup
	for range f.o.Parallel {
		wg.Go(func() {
			for p := range queue {
				if err := f.get(ctx, m.name, m.addresses(p), p); err != nil {
					stop(err)
				}
			}
		})
	}
	slices.SortFunc(pins, func(x, y Pin) int { return cmp.Compare(y.Size, x.Size) })
	for _, p := range pins {
		if ctx.Err() != nil {
			break
		}
		queue <- p
	}
	close(queue)
	wg.Wait()
	return f.unlessUnfit(m.name, context.Cause(ctx))
}

// addressed asks the addresses that pins have themselves.
func (f *fetch) addressed(ctx context.Context) error {
	for _, p := range f.wanted() {
		file, here := p.file()
		switch {
		case p.URL == "" || p.Path != "":
			continue
		case f.o.NoPublic || f.o.Mirror == NoMirror && !here:
			f.failed(p.URL, "is not asked")
			continue
		case here:
			if err := f.local(ctx, p, file); err != nil {
				return err
			}
			continue
		}
		f.from(p.URL)
		err := f.get(ctx, p.URL, []string{p.URL}, p)
		if local := (*Local)(nil); errors.As(err, &local) {
			if err = f.allowed(local); err == nil {
				err = f.get(ctx, p.URL, []string{p.URL}, p)
			}
		}
		if err := f.unlessUnfit(p.URL, err); err != nil {
			return err
		}
	}
	return nil
}

// local copies the file that the pin itself names.
func (f *fetch) local(ctx context.Context, p Pin, file string) error {
	if err := f.within(p, file); err != nil {
		return err
	}
	r, err := seeds.FromFile(file)
	if bad := (*regular.Irregular)(nil); errors.As(err, &bad) {
		f.failed(p.URL, "it is %s, not a file", bad.Kind)
		return nil
	}
	if err != nil {
		f.failed(p.URL, "%v", err)
		return nil
	}
	defer r.Close()
	if r.Size == 0 { // nor is a file of /proc, which may be without an end
		f.failed(p.URL, "it is empty")
		return nil
	}
	if err := checked(ctx, p, r, p.URL, f.path(p)); err != nil {
		return err
	}
	f.done(p)
	return nil
}

// client gives up on a server that does not answer. Silence within a file ends by Options.Stall.
var client = &http.Client{Transport: transport()}

func transport() *http.Transport {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 8,
		DisableCompression:  true, // of a package nothing is left to pack, and bytes are counted
	}
}

const (
	// attempts is how often a server is asked for a file when the line breaks without having brought a byte more.
	attempts = 3
	// allAttempts ends what brings a few bytes each time.
	allAttempts = 10
)

// lost is a broken line. Where it broke, the next attempt goes on.
type lost struct{ error }

// absent says that a server has no such file.
type absent struct{ status string }

func (e absent) Error() string { return e.status }

// get downloads one pin from the first of its addresses that has it. A pin that is at none of them is no error. Errors
// are an *unfit server, a *Mismatch, and what goes wrong on this machine.
func (f *fetch) get(ctx context.Context, name string, addresses []string, p Pin) error {
	var missing absent
	for _, address := range addresses {
		err := f.attempt(ctx, address, p)
		if !errors.As(err, &missing) {
			return err
		}
	}
	f.failed(name, "%s", strings.TrimPrefix(p.Path+": "+missing.status, ": "))
	return nil
}

func (f *fetch) attempt(ctx context.Context, address string, p Pin) error {
	var had int64
	for all, inVain := 1, 0; ; all++ {
		err := f.once(ctx, address, p)
		var broken *lost
		if !errors.As(err, &broken) || ctx.Err() != nil {
			return err
		}
		inVain++
		if now := size(f.part(p)); now > had {
			had, inVain = now, 0
		}
		if inVain == attempts || all == allAttempts {
			return &unfit{broken.error}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(all) * 100 * time.Millisecond):
		}
	}
}

// size is that of a file; 0 is also none.
func size(file string) int64 {
	fi, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return fi.Size()
}

// once asks for a file, from the byte on that is not here yet. A file that was made of two answers and is wrong is
// asked for again as a whole: its beginning may be of another server.
func (f *fetch) once(ctx context.Context, address string, p Pin) error {
	begin := size(f.part(p))
	if begin >= p.Size { // nothing more to ask for, or of a size that is not pinned
		begin = 0
	}
	if err := f.body(ctx, address, p, begin); err != nil {
		return err
	}
	err := verify(p, f.part(p), redacted(address))
	var wrong *Mismatch
	if !errors.As(err, &wrong) {
		if err == nil {
			err = f.finish(p)
		}
		return err
	}
	if err := os.Remove(f.part(p)); err != nil {
		return err
	}
	if begin > 0 {
		return f.once(ctx, address, p)
	}
	return wrong
}

// largestArchive keeps a server from filling the disk; in bytes.
const largestArchive = 4 << 30

// body appends to the pin's part what a server has from the byte begin on.
func (f *fetch) body(ctx context.Context, address string, p Pin, begin int64) error {
	silence := fmt.Errorf("no byte for %v", f.o.Stall)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	alarm := time.AfterFunc(f.o.Stall, func() { stop(&unfit{silence}) })
	defer alarm.Stop()
	// broken is why reading ended early.
	broken := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return &lost{err}
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return &unfit{err}
	}
	if f.o.Agent != "" {
		req.Header.Set("User-Agent", f.o.Agent)
	}
	if begin > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", begin))
	}
	ask := client
	if address == p.URL && !f.o.Local {
		ask = stranger
	}
	resp, err := ask.Do(req)
	if refused := (*Local)(nil); errors.As(err, &refused) {
		refused.Pin = p
		return refused
	}
	if err != nil {
		return broken(errors.Unwrap(err)) // without the address, which the caller names
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusPartialContent && begin > 0 &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(begin, 10)+"-"):
	case resp.StatusCode == http.StatusOK:
		begin = 0
		if n := resp.ContentLength; n >= 0 && p.Size > 0 && n != p.Size {
			return &unfit{fmt.Errorf("%s has %d bytes there instead of %d (%s)", p, n, p.Size, resp.Header.Get("Content-Type"))}
		}
	case resp.StatusCode >= 500 || resp.StatusCode == http.StatusTooManyRequests ||
		resp.StatusCode == http.StatusProxyAuthRequired:
		return &unfit{errors.New(resp.Status)}
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable || resp.StatusCode < 300:
		os.Remove(f.part(p))
		return &lost{errors.New(resp.Status)}
	default:
		return absent{resp.Status}
	}
	w, err := os.OpenFile(f.part(p), os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Truncate(begin); err != nil {
		return err
	}
	if _, err := w.Seek(begin, io.SeekStart); err != nil {
		return err
	}
	limit := p.Size - begin + 1
	if p.Size == 0 {
		limit = largestArchive
	}
	in := &counting{
		r: io.LimitReader(resp.Body, limit), n: begin, tell: func(n int64) { f.grow(p, n) },
		alive: func() { alarm.Reset(f.o.Stall) },
	}
	n, err := io.Copy(w, in)
	if here := (*fs.PathError)(nil); errors.As(err, &here) {
		return err
	}
	if err != nil {
		return broken(err)
	}
	if p.Size > 0 && begin+n > p.Size {
		os.Remove(f.part(p))
		return &unfit{fmt.Errorf("%s has more bytes there than the %d pinned", p, p.Size)}
	}
	if p.Size > 0 && begin+n < p.Size { // a server that sent no length
		return &lost{io.ErrUnexpectedEOF}
	}
	return w.Close()
}

// counting tells how far a body is, at most ten times a second, and that it is alive.
type counting struct {
	r     io.Reader
	n     int64
	last  time.Time
	tell  func(int64)
	alive func()
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if now := time.Now(); now.Sub(c.last) > 100*time.Millisecond {
		c.last = now
		c.tell(c.n)
		if n > 0 {
			c.alive()
		}
	}
	return n, err
}
