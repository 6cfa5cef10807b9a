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
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ukl/internal/cli/exit"
	"ukl/internal/host/folders"
	"ukl/internal/host/regular"
	"ukl/internal/pin/seeds"
)

// Environment names that stand for Options.
const (
	SeedsEnv    = "UKL_SEEDS"
	MirrorEnv   = "UKL_MIRROR"
	SnapshotEnv = "UKL_SNAPSHOT"
)

// Store is what Fetch needs of Nix.
type Store interface {
	Invalid(ctx context.Context, paths []string) ([]string, error)
	AddFixed(ctx context.Context, recursive bool, files []string) ([]string, error)
}

// Options say where pins may come from. The zero value asks the mirrors of the host's apt, the default mirror and the
// snapshot archive.
type Options struct {
	Seeds    string        // folder or archive with files named sha256/<hex>; see package seeds
	Mirror   string        // Debian mirror to ask before the default one; NoMirror asks no server that apt does not name
	Snapshot string        // snapshot archive to ask at last; "" is Debian's
	Dir      string        // keeps downloads until they are in the store; "" is the user's cache
	NoApt    bool          // do not ask the mirrors of the host's apt
	NoPublic bool          // ask neither the default mirror nor Debian's snapshot archive
	Parallel int           // downloads at a time; 0 is 4
	Stall    time.Duration // how long a server may send nothing; 0 is 20 s
	// Local lets archives that an application names be files outside of its directory, and come from addresses of this
	// machine: whoever wrote the application may be somebody else than who builds it.
	Local bool
	// Ask is told what is not allowed, and may allow it after all. It may be nil.
	Ask   func(*Local) bool
	Agent string // the program's name for servers, as ukl/1.2; "" is that of Go's client
	// Note is told of each server that is skipped, and why. It may be nil.
	Note func(string)
}

// Progress is the state of a Fetch. Bytes count what is here, from any source.
type Progress struct {
	Files, AllFiles int
	Bytes, AllBytes int64
	Source          string // "seeds", or the address of a mirror or a file
}

// Mismatch is a file whose content is not what its pin says.
type Mismatch struct {
	Pin     Pin
	Got     string // "" for a file that is too large, which nobody read
	GotSize int64
	Source  string
}

func (e *Mismatch) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("%s from %s has %d bytes instead of the %d pinned", e.Pin, e.Source, e.GotSize, e.Pin.most())
	}
	size := fmt.Sprintf(" (%d bytes)", e.Pin.Size)
	if e.Pin.Size == 0 { // that of an archive is not pinned
		size = ""
	}
	return fmt.Sprintf("%s from %s has the wrong hash\n  pinned sha256 %s%s\n  got    sha256 %s (%d bytes)",
		e.Pin, e.Source, e.Pin.SHA256, size, e.Got, e.GotSize)
}

// ExitCode is the code of a command that this ends.
func (*Mismatch) ExitCode() exit.Code { return exit.Pin }

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

// ExitCode is the code of a command that this ends.
func (*Unavailable) ExitCode() exit.Code { return exit.Pin }

// Hint is the line that helps.
func (e *Unavailable) Hint() string {
	if !slices.ContainsFunc(e.Pins, func(p Pin) bool { return p.Path != "" }) {
		return "name a folder or archive of seeds that has it (--seeds or " + SeedsEnv + ")"
	}
	return "name a Debian mirror (--mirror or " + MirrorEnv + ") or a folder or archive of seeds (--seeds or " + SeedsEnv +
		")"
}

// Missing returns the pins that must be fetched before everything in the lock can be built: the packages of trees that
// are not in the store, and the source packages.
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
		return !slices.Contains(invalid, p.StorePath()) ||
			!slices.ContainsFunc(p.Groups, func(g string) bool { return needed[g] })
	}), nil
}

// InPlan returns the pins among derivations that Nix is about to build (see nix.Client.Plan).
func (l *Lock) InPlan(drvs []string) []Pin { return inPlan(l.All(), drvs) }

func inPlan(all []Pin, drvs []string) []Pin {
	return slices.DeleteFunc(all, func(p Pin) bool {
		return !slices.ContainsFunc(drvs, func(d string) bool { return strings.HasSuffix(d, "-"+p.FileName()+".drv") })
	})
}

// Fetch brings pins into the store. Sources are asked in order, each for what those before it lacked. When an error or
// ctx ends it, finished files and the beginnings of others are kept in Options.Dir, and the next Fetch goes on from
// there. progress may be nil.
func Fetch(ctx context.Context, s Store, pins []Pin, o Options, progress func(Progress)) error {
	if len(pins) == 0 {
		return nil
	}
	f, err := newFetch(pins, o, progress)
	if err != nil {
		return err
	}
	lock, err := lockFile(ctx, f.o.Dir+".lock", func() {
		if f.o.Note != nil {
			f.o.Note("waiting for another ukl, which downloads to " + f.o.Dir)
		}
	})
	if err != nil {
		return err
	}
	defer lock.Close()
	if pins, err = f.begin(ctx, s, pins); err != nil {
		return err
	}
	open, err := f.ask(ctx)
	if err != nil {
		return err
	}
	// What is here need not be brought again.
	here := slices.DeleteFunc(pins, among(open))
	if err := f.add(ctx, s, here); err != nil {
		return err
	}
	if len(open) > 0 {
		return &Unavailable{open, f.tried}
	}
	return nil
}

// ask brings what the sources have, and returns what none has. One that has another file under a pin's name is an
// error.
func (f *fetch) ask(ctx context.Context) (open []Pin, err error) {
	if len(f.wanted()) > 0 {
		for src := range f.sources(ctx) {
			if err := src.fetch(ctx); err != nil {
				return nil, err
			}
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if len(f.wanted()) == 0 {
				break
			}
		}
	}
	open = f.wanted()
	for _, p := range open {
		if other, ok := f.others[p.Name]; ok {
			return nil, other
		}
	}
	return open, nil
}

// source is a place that is asked for what is still wanted.
type source struct {
	name  string
	fetch func(context.Context) error
}

// sources are all places, in the order in which they are asked. The host's apt is asked for its mirrors only when it is
// their turn.
func (f *fetch) sources(ctx context.Context) iter.Seq[source] {
	return func(yield func(source) bool) {
		if f.o.Seeds != "" && !yield(source{"seeds", f.seeds}) {
			return
		}
		if !f.o.NoApt {
			for _, m := range hostMirrors(ctx) {
				if !yield(source{redacted(m.address), func(ctx context.Context) error { return f.apt(ctx, m) }}) {
					return
				}
			}
		}
		for _, m := range f.o.mirrors() {
			if !yield(source{m.name, func(ctx context.Context) error { return f.mirror(ctx, m) }}) {
				return
			}
		}
		if f.o.Mirror == NoMirror && !yield(source{"other mirrors", func(context.Context) error {
			f.failed("other mirrors", "not asked, since --mirror or %s is %q", MirrorEnv, NoMirror)
			return nil
		}}) {
			return
		}
		yield(source{"the addresses in ukl.toml", f.addressed})
	}
}

type fetch struct {
	o      Options
	report func(Progress)

	mu      sync.Mutex
	open    []Pin                // not here yet
	tried   []string             // what sources said
	others  map[string]*Mismatch // files of a pin's name that apt's mirrors have with another content
	state   Progress
	partial map[string]int64 // bytes of unfinished files
}

func newFetch(pins []Pin, o Options, progress func(Progress)) (*fetch, error) {
	f := &fetch{o: o, report: progress, open: pins, partial: map[string]int64{}, others: map[string]*Mismatch{}}
	f.state.AllFiles = len(pins)
	for _, p := range pins {
		f.state.AllBytes += p.Size
	}
	if f.o.Dir == "" {
		cache, err := folders.Cache()
		if err != nil {
			return nil, err
		}
		f.o.Dir = filepath.Join(cache, "ukl", "downloads")
	}
	if f.o.Parallel == 0 {
		f.o.Parallel = 4
	}
	if f.o.Stall == 0 {
		f.o.Stall = 20 * time.Second
	}
	if err := os.MkdirAll(f.o.Dir, 0o755); err != nil {
		return nil, err
	}
	f.clear()
	return f, nil
}

// clear removes what is no regular file from the places of downloads: opening a pipe would not end.
func (f *fetch) clear() {
	for _, p := range f.open {
		for _, file := range []string{f.path(p), f.part(p)} {
			if fi, err := os.Stat(file); err == nil && !fi.Mode().IsRegular() {
				os.Remove(file)
			}
		}
	}
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

// path is where a finished download waits for the store, and part where one grows.
func (f *fetch) path(p Pin) string { return filepath.Join(f.o.Dir, p.FileName()) }
func (f *fetch) part(p Pin) string { return f.path(p) + ".part" }

// wanted are the pins that are not here yet.
func (f *fetch) wanted() []Pin {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.open)
}

// done records a finished pin.
func (f *fetch) done(p Pin) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open = slices.DeleteFunc(slices.Clone(f.open), func(q Pin) bool { return q.SHA256 == p.SHA256 })
	delete(f.partial, p.SHA256)
	f.state.Files++
	f.state.Bytes += p.Size
	f.tell()
}

func (f *fetch) grow(p Pin, bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.partial[p.SHA256] = min(bytes, p.Size)
	f.tell()
}

func (f *fetch) from(source string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.state.Source = source
}

// among tells whether a pin is one of pins.
func among(pins []Pin) func(Pin) bool {
	return func(p Pin) bool { return slices.ContainsFunc(pins, func(q Pin) bool { return q.SHA256 == p.SHA256 }) }
}

// failed keeps what a source said, for the error if no other has the pin.
func (f *fetch) failed(source string, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := source + ": " + fmt.Sprintf(format, args...)
	if !slices.Contains(f.tried, line) {
		f.tried = append(f.tried, line)
	}
}

// skip records that a source is asked no more, and says so at once.
func (f *fetch) skip(source string, reason error) {
	f.failed(source, "%v", reason)
	if f.o.Note != nil {
		f.o.Note(fmt.Sprintf("%s is skipped: %v", source, reason))
	}
}

// unlessUnfit is the error of asking a source, unless that says that the source is unfit: then it is skipped.
func (f *fetch) unlessUnfit(source string, err error) error {
	if bad := (*unfit)(nil); errors.As(err, &bad) {
		f.skip(source, bad.reason)
		return nil
	}
	return err
}

// verify compares a file with its pin.
func verify(p Pin, file, source string) error {
	r, err := seeds.FromFile(file)
	if err != nil {
		return err
	}
	defer r.Close()
	return compare(context.Background(), p, r, source, io.Discard)
}

// compare copies a seed and compares it with its pin. Of a file that is larger than its pin nothing is read, and of one
// that grows meanwhile no more than that. A read that does not end, as of a file of /proc, ends with ctx.
func compare(ctx context.Context, p Pin, r *seeds.Seed, source string, w io.Writer) error {
	most := p.most()
	if r.Size > most {
		return &Mismatch{Pin: p, GotSize: r.Size, Source: source}
	}
	h := sha256.New()
	var n int64
	read := make(chan error, 1)
	go func() {
		var err error
		n, err = io.Copy(io.MultiWriter(w, h), io.LimitReader(regular.Until(ctx, r), most+1))
		read <- err
	}()
	select {
	case err := <-read:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	if n > most {
		return &Mismatch{Pin: p, GotSize: n, Source: source}
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != p.SHA256 {
		return &Mismatch{Pin: p, Got: got, GotSize: n, Source: source}
	}
	return nil
}

// most is how many bytes are read of what may be the pin.
func (p Pin) most() int64 {
	if p.Size == 0 { // that of an archive is not pinned
		return largestArchive
	}
	return p.Size
}

// finish gives a whole download, which is right, its name.
func (f *fetch) finish(p Pin) error {
	if err := os.Rename(f.part(p), f.path(p)); err != nil {
		return err
	}
	f.done(p)
	return nil
}

// begin leaves out what another process brought meanwhile, and takes what an interrupted run left. It returns the pins
// that are not in the store.
func (f *fetch) begin(ctx context.Context, s Store, pins []Pin) ([]Pin, error) {
	var paths []string
	for _, p := range pins {
		paths = append(paths, p.StorePath())
	}
	invalid, err := s.Invalid(ctx, paths)
	if err != nil {
		return nil, err
	}
	pins = slices.DeleteFunc(slices.Clone(pins), func(p Pin) bool {
		here := !slices.Contains(invalid, p.StorePath())
		if here {
			f.done(p)
		}
		return here
	})
	f.resume()
	return pins, nil
}

// resume takes what an interrupted run left.
func (f *fetch) resume() {
	for _, p := range f.wanted() {
		switch err := verify(p, f.path(p), "kept"); {
		case err == nil:
			f.done(p)
		case !errors.Is(err, fs.ErrNotExist):
			os.Remove(f.path(p))
		}
	}
}

// Download brings pins into a directory, each under the name that its archive gives it. What is there already and right
// stays.
func Download(ctx context.Context, dir string, pins []Pin, o Options, progress func(Progress)) error {
	if len(pins) == 0 {
		return nil
	}
	o.Dir = dir
	f, err := newFetch(pins, o, progress)
	if err != nil {
		return err
	}
	f.resume()
	open, err := f.ask(ctx)
	if err != nil {
		return err
	}
	if len(open) > 0 {
		return &Unavailable{open, f.tried}
	}
	for _, p := range pins {
		if p.URL != "" || path.Base(p.Path) == p.FileName() {
			continue
		}
		if err := os.Rename(f.path(p), filepath.Join(dir, path.Base(p.Path))); err != nil {
			return err
		}
	}
	return nil
}

func (f *fetch) seeds(ctx context.Context) error {
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
	for _, p := range f.wanted() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		seed, err := store.Get(p.SHA256)
		if errors.Is(err, fs.ErrNotExist) {
			f.failed(f.o.Seeds, "no file sha256/%s (%s)", p.SHA256, p)
			continue
		}
		if bad := (*regular.Irregular)(nil); errors.As(err, &bad) {
			f.skip(store.Place(p.SHA256), fmt.Errorf("it is %s, not a file", bad.Kind))
			continue
		}
		if err != nil {
			return err
		}
		err = checked(ctx, p, seed, store.Place(p.SHA256), f.path(p))
		seed.Close()
		if err != nil {
			return err
		}
		f.done(p)
	}
	return nil
}

// checked copies a seed to its place and compares it with its pin on the way.
func checked(ctx context.Context, p Pin, seed *seeds.Seed, source, to string) error {
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	err = compare(ctx, p, seed, source, w)
	if err = cmp.Or(err, w.Close()); err != nil {
		os.Remove(to)
	}
	return err
}

// add puts all files into the store in one call and removes them.
func (f *fetch) add(ctx context.Context, s Store, pins []Pin) error {
	var files []string
	for _, p := range pins {
		files = append(files, f.path(p))
	}
	if len(files) == 0 {
		return nil
	}
	got, err := s.AddFixed(ctx, false, files)
	if err != nil {
		return err
	}
	for i, p := range pins {
		if i >= len(got) || got[i] != p.StorePath() {
			at := strings.Join(got[min(i, len(got)):min(i+1, len(got))], "")
			return fmt.Errorf("%s: the store has it at %s, not at %s", p, at, p.StorePath())
		}
		os.Remove(f.path(p))
	}
	return nil
}
