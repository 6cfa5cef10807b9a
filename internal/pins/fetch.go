package pins

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ukl/internal/folders"
	"ukl/internal/seeds"
)

// DefaultMirror is asked last. nixexprs/deb.nix has the same.
const DefaultMirror = "https://mirrors.kernel.org/debian"

// NoMirror as a mirror keeps Fetch off the network, but for apt.
const NoMirror = "none"

// Environment names that stand for Options.
const (
	SeedsEnv  = "UKL_SEEDS"
	MirrorEnv = "UKL_MIRROR"
)

// Store is what Fetch needs of Nix.
type Store interface {
	Invalid(ctx context.Context, paths []string) ([]string, error)
	AddFixed(ctx context.Context, recursive bool, files []string) ([]string, error)
}

// Options say where pins may come from. The zero value asks apt and the default mirror.
type Options struct {
	Seeds    string // folder or archive with files named sha256/<hex>; see package seeds
	Mirror   string // Debian mirror to ask before the default one; NoMirror asks neither
	Dir      string // keeps finished downloads until they are in the store; "" is the user's cache
	NoApt    bool   // do not ask the host's apt
	NoPublic bool   // do not ask the default mirror
	Parallel int    // downloads at a time; 0 is 4
}

// Progress is the state of a Fetch. Bytes count what is here, from any source.
type Progress struct {
	Files, AllFiles int
	Bytes, AllBytes int64
	Source          string // "seeds", "apt" or a mirror's address
}

// Mismatch is a file whose content is not what its pin says.
type Mismatch struct {
	Pin     Pin
	Got     string
	GotSize int64
	Source  string
}

func (e *Mismatch) Error() string {
	size := fmt.Sprintf(" (%d bytes)", e.Pin.Size)
	if e.Pin.Size == 0 { // that of an archive is not pinned
		size = ""
	}
	return fmt.Sprintf("%s from %s has the wrong hash\n  pinned sha256 %s%s\n  got    sha256 %s (%d bytes)", e.Pin, e.Source, e.Pin.SHA256, size, e.Got, e.GotSize)
}

// Unavailable is a pin that no source has.
type Unavailable struct {
	Pins  []Pin
	Tried []string // one line a source: what it said
}

func (e *Unavailable) Error() string {
	what := e.Pins[0].String()
	if n := len(e.Pins) - 1; n > 0 {
		what += fmt.Sprintf(" and %d more", n)
	}
	return what + ": no source has it\n  " + strings.Join(e.Tried, "\n  ")
}

// Hint is the line that helps.
func (e *Unavailable) Hint() string {
	if !slices.ContainsFunc(e.Pins, func(p Pin) bool { return p.Path != "" }) {
		return "name a folder or archive of seeds that has it (--seeds or " + SeedsEnv + ")"
	}
	return "name a Debian mirror (--mirror or " + MirrorEnv + ") or a folder or archive of seeds (--seeds or " + SeedsEnv + ")"
}

// Missing returns the pins that must be fetched before everything in the lock can be built: the packages of trees that are
// not in the store, and the source packages.
func (l *Lock) Missing(ctx context.Context, s Store) ([]Pin, error) {
	var paths []string
	tree := map[string]string{}
	for t := range l.Trees {
		tree[l.TreePath(t)] = t
		paths = append(paths, l.TreePath(t))
	}
	all := l.All()
	for _, p := range all {
		paths = append(paths, p.StorePath())
	}
	invalid, err := s.Invalid(ctx, paths)
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for part := range l.Sources {
		needed[part] = true
	}
	for _, p := range invalid {
		if t, ok := tree[p]; ok {
			needed[t] = true
		}
	}
	return slices.DeleteFunc(all, func(p Pin) bool {
		return !slices.Contains(invalid, p.StorePath()) || !slices.ContainsFunc(p.Groups, func(g string) bool { return needed[g] })
	}), nil
}

// InPlan returns the pins among derivations that Nix is about to build (see nix.Client.Plan).
func (l *Lock) InPlan(drvs []string) []Pin { return inPlan(l.All(), drvs) }

func inPlan(all []Pin, drvs []string) []Pin {
	return slices.DeleteFunc(all, func(p Pin) bool {
		return !slices.ContainsFunc(drvs, func(d string) bool { return strings.HasSuffix(d, "-"+p.FileName()+".drv") })
	})
}

// Fetch brings pins into the store. Sources are asked in order, each for what those before it lacked. What is finished when
// an error or ctx ends it is kept in Options.Dir and not asked for again. progress may be nil.
func Fetch(ctx context.Context, s Store, pins []Pin, o Options, progress func(Progress)) error {
	if len(pins) == 0 {
		return nil
	}
	f := &fetch{o: o, report: progress, open: pins, partial: map[string]int64{}, others: map[string]*Mismatch{}}
	f.state.AllFiles = len(pins)
	for _, p := range pins {
		f.state.AllBytes += p.Size
	}
	if f.o.Dir == "" {
		cache, err := folders.Cache()
		if err != nil {
			return err
		}
		f.o.Dir = filepath.Join(cache, "ukl", "downloads")
	}
	if f.o.Parallel == 0 {
		f.o.Parallel = 4
	}
	if err := os.MkdirAll(f.o.Dir, 0o755); err != nil {
		return err
	}
	f.kept()
	steps := []func(context.Context) error{f.seeds, f.apt}
	for _, m := range o.mirrors() {
		steps = append(steps, func(ctx context.Context) error { return f.mirror(ctx, strings.TrimSuffix(m, "/")) })
	}
	steps = append(steps, f.addressed)
	for _, step := range steps {
		if len(f.open) == 0 {
			break
		}
		if err := step(ctx); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for _, p := range f.open {
		if other, ok := f.others[p.Name]; ok {
			return other
		}
	}
	if len(f.open) > 0 {
		return &Unavailable{f.open, f.tried}
	}
	return f.add(ctx, s, pins)
}

type fetch struct {
	o      Options
	report func(Progress)
	open   []Pin                // not here yet
	tried  []string             // what sources said
	others map[string]*Mismatch // packages of a pin's version whose hash, as apt has it, is another

	mu      sync.Mutex
	state   Progress
	partial map[string]int64 // bytes of unfinished files
}

func (f *fetch) tell() {
	if f.report == nil {
		return
	}
	s := f.state
	for _, n := range f.partial {
		s.Bytes += n
	}
	f.report(s)
}

func (f *fetch) path(p Pin) string { return filepath.Join(f.o.Dir, p.FileName()) }

// done records finished pins; source is for Progress.
func (f *fetch) done(p Pin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = slices.DeleteFunc(slices.Clone(f.open), func(q Pin) bool { return q.Name == p.Name })
	delete(f.partial, p.Name)
	f.state.Files++
	f.state.Bytes += p.Size
	f.tell()
}

func (f *fetch) grow(p Pin, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.partial[p.Name] = min(bytes, p.Size)
	f.tell()
}

func (f *fetch) from(source string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.Source = source
}

func (f *fetch) failed(source string, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := source + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(f.tried, line) {
		f.tried = append(f.tried, line)
	}
}

// verify compares a file with its pin.
func verify(p Pin, file, source string) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return &Mismatch{Pin: p, Got: got, GotSize: n, Source: source}
	}
	return nil
}

// kept takes what an interrupted run left.
func (f *fetch) kept() {
	for _, p := range slices.Clone(f.open) {
		switch err := verify(p, f.path(p), "kept"); {
		case err == nil:
			f.done(p)
		case !errors.Is(err, fs.ErrNotExist):
			os.Remove(f.path(p))
		}
	}
}

func (f *fetch) seeds(ctx context.Context) error {
	if f.o.Seeds == "" {
		return nil
	}
	f.from("seeds")
	store, err := seeds.Open(f.o.Seeds)
	if errors.Is(err, fs.ErrNotExist) {
		f.failed(f.o.Seeds, "there is no such folder or archive")
		return nil
	}
	if err != nil {
		return err
	}
	defer store.Close()
	for _, p := range slices.Clone(f.open) {
		seed, err := store.Get(p.SHA256)
		if errors.Is(err, fs.ErrNotExist) {
			f.failed(f.o.Seeds, "no file sha256/%s", p.SHA256)
			continue
		}
		if err != nil {
			return err
		}
		err = checked(p, seed, store.Place(p.SHA256), f.path(p))
		seed.Close()
		if err != nil {
			return err
		}
		f.done(p)
	}
	return nil
}

// checked compares a seed with its pin on the way to its place; it is a link if that can be one.
func checked(p Pin, seed io.Reader, source, to string) error {
	if file, ok := seed.(*os.File); ok {
		if err := verify(p, file.Name(), source); err != nil || os.Link(file.Name(), to) == nil {
			return err
		}
	}
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, seed)
	if err = errors.Join(err, w.Close()); err == nil {
		err = verify(p, to, source)
	}
	if err != nil {
		os.Remove(to)
	}
	return err
}

// of returns the open pins of a kind.
func (f *fetch) of(kind func(Pin) bool) []Pin {
	return slices.DeleteFunc(slices.Clone(f.open), func(p Pin) bool { return !kind(p) })
}

func (f *fetch) mirror(ctx context.Context, base string) error {
	pins := f.of(func(p Pin) bool { return p.Path != "" })
	if len(pins) == 0 {
		return nil
	}
	f.from(base)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	queue := make(chan Pin)
	var wg sync.WaitGroup
	for range f.o.Parallel {
		wg.Go(func() {
			for p := range queue {
				if err := f.get(ctx, base, base+"/"+p.Path, p); err != nil {
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
	var unreachable *unreachable
	if err := context.Cause(ctx); err != nil && !errors.As(err, &unreachable) {
		return err
	}
	return nil
}

// unreachable ends the work on one mirror without ending Fetch.
type unreachable struct{ error }

// client gives up on a mirror that does not answer. It has no limit for a body: that depends on the line.
var client = &http.Client{Transport: &http.Transport{
	Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: 20 * time.Second, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
}}

// attempts is how often a mirror is asked for a file when the line, not the mirror, is to blame.
const attempts = 3

// get downloads one pin; base is what messages call the place. Only a wrong hash, errors of this machine and a place that cannot be
// reached are errors of it.
func (f *fetch) get(ctx context.Context, base, url string, p Pin) error {
	for n := 1; ; n++ {
		err := f.once(ctx, base, url, p)
		var lost *unreachable
		if !errors.As(err, &lost) || ctx.Err() != nil {
			return err
		}
		if n == attempts {
			f.failed(base, "%v", lost.error)
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(n) * 200 * time.Millisecond):
		}
	}
}

func (f *fetch) once(ctx context.Context, base, url string, p Pin) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("%s: %v", base, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return &unreachable{errors.Unwrap(err)} // without the address, which the caller names
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		f.failed(base, "%s", strings.TrimPrefix(p.Path+": "+resp.Status, ": "))
		return nil
	}
	part := f.path(p) + ".part"
	w, err := os.Create(part)
	if err != nil {
		return err
	}
	defer os.Remove(part)
	h := sha256.New()
	limit := p.Size + 1
	if p.Size == 0 {
		limit = largestArchive
	}
	body := &counting{r: io.LimitReader(resp.Body, limit), tell: func(n int64) { f.grow(p, n) }}
	n, err := io.Copy(io.MultiWriter(w, h), body)
	if cerr := w.Close(); cerr != nil {
		return cerr
	}
	var local *fs.PathError
	if errors.As(err, &local) {
		return err
	}
	if err != nil {
		return &unreachable{err}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return &Mismatch{Pin: p, Got: got, GotSize: n, Source: url}
	}
	if err := os.Rename(part, f.path(p)); err != nil {
		return err
	}
	f.done(p)
	return nil
}

// counting tells how far a body is, at most ten times a second.
type counting struct {
	r    io.Reader
	n    int64
	last time.Time
	tell func(int64)
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if now := time.Now(); now.Sub(c.last) > 100*time.Millisecond {
		c.last = now
		c.tell(c.n)
	}
	return n, err
}

// add puts all files into the store in one call and removes them.
func (f *fetch) add(ctx context.Context, s Store, pins []Pin) error {
	var files []string
	for _, p := range pins {
		files = append(files, f.path(p))
	}
	got, err := s.AddFixed(ctx, false, files)
	if err != nil {
		return err
	}
	for i, p := range pins {
		if i >= len(got) || got[i] != p.StorePath() {
			return fmt.Errorf("%s: the store has it at %s, not at %s", p, strings.Join(got[min(i, len(got)):min(i+1, len(got))], ""), p.StorePath())
		}
		os.Remove(f.path(p))
	}
	return nil
}
