package pins

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ukl/internal/host/lifeline"
	"ukl/internal/host/regular"
)

// aptHelper fetches one file by its address with apt's own proxies, passwords and transports. It comes with apt.
const aptHelper = "/usr/lib/apt/apt-helper"

// hostMirror is an archive that the host's apt is configured with.
type hostMirror struct {
	address string   // without a slash at its end
	suites  []string // those of it that apt uses
}

// security tells whether the archive is Debian's security archive: its pool holds nothing else.
func (m hostMirror) security() bool {
	return slices.ContainsFunc(m.suites, func(s string) bool {
		return strings.HasSuffix(s, "-security") ||
			strings.HasSuffix(s, "/updates")
	})
}

// hostMirrors asks the host's apt for its archives: those of the pins' suite come first. Package lists do not matter:
// `apt-get update --print-uris` names what an update would fetch, and fetches nothing. A host without apt has none.
func hostMirrors(ctx context.Context) []hostMirror {
	cmd := aptCommand(ctx, "apt-get", "update", "--print-uris")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := lifeline.Run(cmd); err != nil {
		return nil
	}
	return parseMirrors(out.String(), func(file string) ([]byte, error) { return regular.Read(file, regular.MostText) })
}

// parseMirrors reads apt-get's lines: 'ADDRESS/dists/SUITE/InRelease' FILE SIZE. read opens lists of mirrors.
func parseMirrors(text string, read func(string) ([]byte, error)) []hostMirror {
	var list []hostMirror
	add := func(address, suite string) {
		i := slices.IndexFunc(list, func(m hostMirror) bool { return m.address == address })
		if i < 0 {
			list, i = append(list, hostMirror{address: address}), len(list)
		}
		list[i].suites = append(list[i].suites, suite)
	}
	for line := range strings.Lines(text) {
		quoted, _, _ := strings.Cut(strings.TrimPrefix(line, "'"), "' ")
		address, inside, ok := strings.Cut(quoted, "/dists/")
		suite, release := strings.CutSuffix(inside, "/InRelease")
		if !ok || !release {
			continue
		}
		scheme, rest, _ := strings.Cut(address, ":")
		switch {
		case scheme == "cdrom":
		case scheme == "file": // that method leaves a file where it is
			add("copy:"+rest, suite)
		case scheme == "mirror+file": // apt-helper knows no list of mirrors
			servers, _ := read(path.Clean("/" + strings.TrimLeft(rest, "/"))) // a list that is not there names none
			for server := range strings.Lines(string(servers)) {
				if f := strings.Fields(server); len(f) > 0 && !strings.HasPrefix(f[0], "#") {
					add(strings.TrimSuffix(f[0], "/"), suite)
				}
			}
		default:
			add(address, suite)
		}
	}
	slices.SortStableFunc(list, func(a, b hostMirror) int { return cmp.Compare(a.rank(), b.rank()) })
	return withSecurity(list)
}

// withSecurity adds the security archive beside Debian's release for hosts whose apt has none, as one of unstable.
func withSecurity(list []hostMirror) []hostMirror {
	if slices.ContainsFunc(list, func(m hostMirror) bool { return m.rank() < 2 && m.security() }) {
		return list
	}
	for _, m := range slices.Clone(list) {
		if at := archiveAt(m.address, Security); at != m.address && m.rank() < 2 {
			list = append(list, hostMirror{at, []string{suite + "-security"}})
		}
	}
	return list
}

// rank is how likely an archive has the pins: one of their suite, one of Debian, any other.
func (m hostMirror) rank() int {
	best := 2
	for _, s := range m.suites {
		name, _, _ := strings.Cut(strings.TrimSuffix(s, "/updates"), "-")
		switch {
		case name == suite:
			best = 0
		case slices.Contains(releases, name):
			best = min(best, 1)
		}
	}
	return best
}

// releases are names under which Debian's archive has the pool that the pins are in.
var releases = strings.Fields("bullseye bookworm trixie forky duke sid oldoldstable oldstable stable testing unstable")

// apt downloads what one archive of the host's apt has, by path.
func (f *fetch) apt(ctx context.Context, m hostMirror) error {
	pins := slices.DeleteFunc(f.wanted(), func(p Pin) bool {
		return p.Path == "" ||
			(p.Archive == Security) != m.security()
	})
	if len(pins) == 0 {
		return nil
	}
	f.from(redacted(m.address))
	// A few small files tell whether it is down, or an archive of something else.
	slices.SortFunc(pins, func(x, y Pin) int { return cmp.Compare(x.Size, y.Size) })
	few := pins[:min(3, len(pins))]
	if err := f.helper(ctx, m, few); err != nil {
		return f.unlessUnfit(redacted(m.address), err)
	}
	open := among(f.wanted())
	here := func(p Pin) bool { return !open(p) }
	if !slices.ContainsFunc(few, here) {
		return nil
	}
	pins = slices.DeleteFunc(pins, here)
	slices.Reverse(pins)
	shares := make([][]Pin, min(f.o.Parallel, len(pins)))
	load := make([]int64, len(shares))
	for _, p := range pins {
		least := slices.Index(load, slices.Min(load))
		shares[least] = append(shares[least], p)
		load[least] += p.Size
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wg sync.WaitGroup
	for _, share := range shares {
		wg.Go(func() {
			if err := f.helper(ctx, m, share); err != nil {
				stop(err)
			}
		})
	}
	wg.Wait()
	return f.unlessUnfit(redacted(m.address), context.Cause(ctx))
}

// helper runs one apt-helper for some pins and takes what it brought.
func (f *fetch) helper(ctx context.Context, m hostMirror, pins []Pin) error {
	silence := strconv.Itoa(max(1, int(f.o.Stall.Seconds())))
	args := []string{
		"-q", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=1",
		"-o", "Acquire::http::Timeout=" + silence, "-o", "Acquire::https::Timeout=" + silence, "download-file",
	}
	for _, p := range pins {
		args = append(args, m.address+"/"+p.Path, f.part(p), "SHA256:"+p.SHA256)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	cmd := aptCommand(ctx, aptHelper, args...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	var stderr tailWriter
	cmd.Stderr = &stderr
	wait, err := lifeline.Start(cmd)
	if err != nil {
		return &unfit{err}
	}
	finished := make(chan struct{})
	var watched sync.WaitGroup
	watched.Go(func() { f.watch(pins, finished) })
	missing := f.listen(m, stdout, stop)
	werr := wait()
	close(finished)
	watched.Wait()
	err = f.collect(m, pins)
	switch cause := context.Cause(ctx); {
	case err != nil:
		return err
	case cause != nil:
		return cause
	case werr != nil && missing == 0: // it could not even begin
		return &unfit{errors.New(lastLine(stderr.String()))}
	}
	return nil
}

// listen follows what apt-helper says, and stops it at the first file whose failure is the server's. It returns how
// many files failed otherwise.
func (f *fetch) listen(m hostMirror, r io.Reader, stop func(error)) (missing int) {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		// Err:N ADDRESS, and the reason on the next line.
		_, address, ok := strings.Cut(sc.Text(), " ")
		if !ok || !strings.HasPrefix(sc.Text(), "Err:") || !sc.Scan() {
			continue
		}
		reason, _, _ := strings.Cut(strings.Join(strings.Fields(sc.Text()), " "), " [IP: ")
		missing++
		code, _, _ := strings.Cut(reason, " ")
		switch status, err := strconv.Atoi(code); {
		case err == nil && status >= 400 && status < 500 && status != 407 && status != 429,
			strings.Contains(reason, "stat (2: No such file"):
			f.failed(redacted(m.address), "%s: %s", strings.TrimPrefix(address, m.address+"/"), reason)
		case strings.HasPrefix(reason, "Hash Sum mismatch"), strings.HasPrefix(reason, "File has unexpected size"):
			// collect looks at the file itself.
		default:
			stop(&unfit{errors.New(reason)})
		}
	}
	return missing
}

// watch tells how much of the files is here, until they are finished.
func (f *fetch) watch(pins []Pin, finished <-chan struct{}) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			return
		case <-tick.C:
			for _, p := range pins {
				if n := size(f.part(p)); n > 0 {
					f.grow(p, n)
				}
			}
		}
	}
}

// collect takes the finished files of an apt-helper, and looks at those that it refused. A beginning stays for the next
// server.
func (f *fetch) collect(m hostMirror, pins []Pin) error {
	for _, p := range pins {
		refused := f.part(p) + ".FAILED"
		if err := verify(p, refused, redacted(m.address)+"/"+p.Path); !errors.Is(err, fs.ErrNotExist) {
			os.Remove(refused)
			if wrong := (*Mismatch)(nil); errors.As(err, &wrong) {
				f.failed(redacted(m.address), "%s: another file, of %d bytes with sha256 %s", p.Path, wrong.GotSize, wrong.Got)
				f.mu.Lock()
				f.others[p.Name] = wrong
				f.mu.Unlock()
			}
		}
		if n := size(f.part(p)); n == 0 || n < p.Size {
			continue
		}
		err := verify(p, f.part(p), redacted(m.address)+"/"+p.Path)
		if wrong := (*Mismatch)(nil); errors.As(err, &wrong) {
			if err := os.Remove(f.part(p)); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = f.finish(p)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	return nil
}

// tailWriter keeps the end of a program's output.
type tailWriter struct{ b []byte }

func (t *tailWriter) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(p), nil
}

func (t *tailWriter) String() string { return string(t.b) }
