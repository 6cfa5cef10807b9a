package pins

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// apt runs the host's apt as if nothing were installed and no suite but one existed.
type apt struct {
	dir     string // of its own, until close
	options []string
}

// newApt prepares an apt that keeps its cache in a directory below parent, or in the usual place for temporary ones if that is "":
// parsing all package lists once is most of apt's run time. The error is an *exec.Error on a host without apt.
func newApt(parent string) (*apt, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, ".ukl-apt-")
	if err != nil {
		return nil, err
	}
	prefs := filepath.Join(dir, "preferences")
	status := filepath.Join(dir, "status")
	err = errors.Join(
		os.WriteFile(prefs, []byte("Package: *\nPin: release n="+suite+"\nPin-Priority: 990\n"), 0o644),
		os.WriteFile(status, nil, 0o644))
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &apt{dir, []string{
		"-o", "Dir::State::status=" + status,
		"-o", "Dir::Etc::Preferences=" + prefs,
		"-o", "Dir::Etc::PreferencesParts=/dev/null",
		"-o", "Dir::Cache=" + dir,
		"-o", "Dir::Cache::pkgcache=pkgcache.bin",
		"-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"-o", "APT::Install-Recommends=false",
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Architectures::=amd64",
		"-o", "APT::Sandbox::User=root",
	}}, nil
}

func (a *apt) close() { os.RemoveAll(a.dir) }

func (a *apt) command(ctx context.Context, tool string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, tool, slices.Concat(a.options, args)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func (a *apt) output(ctx context.Context, tool string, args ...string) ([]byte, error) {
	cmd := a.command(ctx, tool, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s: %v: %s", tool, err, lastLine(stderr.String()))
	}
	return out, nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// update fetches package lists for this apt alone.
func (a *apt) update(ctx context.Context) error {
	lists := filepath.Join(a.dir, "lists")
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o755); err != nil {
		return err
	}
	a.options = append(a.options, "-o", "Dir::State::lists="+lists)
	_, err := a.output(ctx, "apt-get", "update", "-q", "-o", "Acquire::Languages=none", "-o", "APT::Update::Post-Invoke-Success::=", "-o", "APT::Update::Post-Invoke::=")
	return err
}

// closure returns the packages that installing names into an empty system would unpack.
func (a *apt) closure(ctx context.Context, names []string) (map[string]Package, error) {
	out, err := a.output(ctx, "apt-get", slices.Concat([]string{"install", "--yes", "--print-uris"}, names)...)
	if err != nil {
		return nil, err
	}
	var exact []string
	for line := range strings.Lines(string(out)) {
		// 'URI' NAME_VERSION_ARCH.deb SIZE HASH
		if f := strings.Fields(line); len(f) >= 3 && strings.HasPrefix(line, "'") {
			parts := strings.Split(f[1], "_")
			if len(parts) != 3 {
				return nil, fmt.Errorf("apt-get: cannot read %q", strings.TrimSpace(line))
			}
			exact = append(exact, parts[0]+"="+strings.ReplaceAll(parts[1], "%3a", ":"))
		}
	}
	return a.show(ctx, exact)
}

// show returns the pool's data of packages given as NAME or NAME=VERSION. One that apt does not know is missing from the
// result of several, and an error when nothing is found.
func (a *apt) show(ctx context.Context, names []string) (map[string]Package, error) {
	out, err := a.output(ctx, "apt-cache", slices.Concat([]string{"show", "--no-all-versions"}, names)...)
	found := map[string]Package{}
	var name string
	var p Package
	sc := bufio.NewScanner(bytes.NewReader(append(out, '\n', '\n')))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		key, value, _ := strings.Cut(sc.Text(), ": ")
		switch key {
		case "Package":
			name = value
		case "Version":
			p.Version = value
		case "Filename":
			p.Path = value
		case "SHA256":
			p.SHA256 = value
		case "Size":
			p.Size, _ = strconv.ParseInt(value, 10, 64)
		case "":
			if name != "" {
				found[name] = p
			}
			name, p = "", Package{}
		}
	}
	if len(found) == 0 && err == nil {
		err = errors.New("apt-cache: no package found")
	}
	if len(found) > 0 {
		err = nil
	}
	return found, err
}

// apt downloads with the host's apt-get, which knows mirrors, proxies and keys of its machine.
func (f *fetch) apt(ctx context.Context) error {
	if f.o.NoApt || !slices.ContainsFunc(f.open, Pin.isPackage) {
		return nil
	}
	a, err := newApt(f.o.Dir)
	if none := (*exec.Error)(nil); errors.As(err, &none) {
		return nil
	}
	if err != nil {
		return err
	}
	defer a.close()
	f.from("apt")
	have, err := f.known(ctx, a)
	if len(have) == 0 && ctx.Err() == nil {
		// A fresh container has no package lists, and an old machine old ones. A private update needs no root.
		if err = a.update(ctx); err == nil {
			have, err = f.known(ctx, a)
		}
	}
	if err != nil {
		f.failed("apt", "%v", err)
		return nil
	}
	if len(have) < len(f.of(Pin.isPackage)) {
		f.failed("apt", "does not offer all pinned versions")
	}
	return f.download(ctx, a, have)
}

// known returns the open pins that apt can download, by version and hash.
func (f *fetch) known(ctx context.Context, a *apt) ([]Pin, error) {
	var names []string
	packages := f.of(Pin.isPackage)
	for _, p := range packages {
		names = append(names, p.Name+"="+p.Version)
	}
	found, err := a.show(ctx, names)
	if err != nil {
		return nil, err
	}
	var have []Pin
	for _, p := range packages {
		switch q := found[p.Name]; {
		case q.SHA256 == p.SHA256:
			have = append(have, p)
		case q.Version == p.Version && q.SHA256 != "":
			// Another distribution may have built the same version. If no other source has the pin, this is the answer.
			f.others[p.Name] = &Mismatch{Pin: p, Got: q.SHA256, GotSize: q.Size, Source: "apt"}
		}
	}
	return have, nil
}

// download runs several apt-get at a time, each with its share of the bytes.
func (f *fetch) download(ctx context.Context, a *apt, pins []Pin) error {
	slices.SortFunc(pins, func(x, y Pin) int { return cmp.Compare(y.Size, x.Size) })
	shares := make([][]Pin, min(f.o.Parallel, len(pins)))
	load := make([]int64, len(shares))
	for _, p := range pins {
		least := slices.Index(load, slices.Min(load))
		shares[least] = append(shares[least], p)
		load[least] += p.Size
	}
	errs := make([]error, len(shares))
	var wg sync.WaitGroup
	for i, share := range shares {
		wg.Go(func() { errs[i] = f.share(ctx, a, filepath.Join(a.dir, fmt.Sprint(i)), share) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (f *fetch) share(ctx context.Context, a *apt, dir string, pins []Pin) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	args := []string{"download", "-q"}
	for _, p := range pins {
		args = append(args, p.Name+"="+p.Version)
	}
	cmd := a.command(ctx, "apt-get", args...)
	cmd.Dir = dir
	out := &tailWriter{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		f.failed("apt", "%v", err)
		return nil
	}
	wait := make(chan error, 1)
	go func() { wait <- cmd.Wait() }()
	open := slices.Clone(pins)
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			var err error
			if open, err = f.collect(dir, open, false); err != nil {
				cmd.Process.Signal(os.Interrupt)
				<-wait
				return err
			}
		case err := <-wait:
			if err != nil && ctx.Err() == nil {
				f.failed("apt", "%v: %s", err, lastLine(out.String()))
			}
			_, cerr := f.collect(dir, open, true)
			return cerr
		}
	}
}

// collect takes finished files out of an apt-get's directory and returns the pins still open. A file is finished when it has
// the pin's size: apt writes it in place. At the end, a wrong size is a wrong file.
func (f *fetch) collect(dir string, pins []Pin, end bool) ([]Pin, error) {
	var open []Pin
	for _, p := range pins {
		files, _ := filepath.Glob(filepath.Join(dir, p.Name+"_*.deb"))
		if len(files) == 0 {
			open = append(open, p)
			continue
		}
		fi, err := os.Stat(files[0])
		if err != nil || fi.Size() != p.Size && !end {
			if err == nil {
				f.grow(p, fi.Size())
			}
			open = append(open, p)
			continue
		}
		if err := verify(p, files[0], "apt"); err != nil {
			if fi.Size() != p.Size {
				continue // an interrupted download
			}
			if !end {
				open = append(open, p) // of full size, but apt has not written it out yet
				continue
			}
			return nil, err
		}
		if err := os.Rename(files[0], f.path(p)); err != nil {
			return nil, err
		}
		f.done(p)
	}
	return open, nil
}

// tailWriter keeps the end of a program's output.
type tailWriter struct{ b []byte }

func (t *tailWriter) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	t.b = t.b[max(0, len(t.b)-4096):]
	return len(p), nil
}

func (t *tailWriter) String() string { return string(t.b) }
