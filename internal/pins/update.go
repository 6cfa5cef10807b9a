package pins

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// suite is Debian's frozen release. Its security suite would move the pins with every fix; see docs/pins.md.
const suite = "bookworm"

// Resolve asks the host's apt for the newest packages of the suite that satisfy the wants. It reads apt's metadata only and
// needs no root; hashes of trees and of Go inputs in the result are those of old, if any, and stale until measured.
func Resolve(ctx context.Context, old *Lock) (*Lock, error) {
	dir, err := os.MkdirTemp("", "ukl-pins-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	apt, err := newApt(ctx, dir)
	if err != nil {
		return nil, err
	}
	l := &Lock{Suite: suite, Architecture: "amd64", Trees: map[string]Tree{}, Sources: map[string]string{}, Packages: map[string]Package{}}
	if old != nil {
		l.Go, l.Modules, l.Stage0 = old.Go, old.Modules, old.Stage0
	}
	for name, w := range wants {
		found, err := apt.closure(ctx, w.packages)
		if err != nil {
			return nil, err
		}
		t := Tree{}
		if old != nil {
			t.NarHash = old.Trees[name].NarHash
		}
		for n, p := range found {
			if slices.Contains(w.without, n) {
				continue
			}
			t.Packages = append(t.Packages, n)
			l.Packages[n] = p
		}
		slices.Sort(t.Packages)
		l.Trees[name] = t
	}
	for part, s := range sources {
		name := s.name
		if s.version != "" {
			name += "=" + s.version
		}
		found, err := apt.show(ctx, []string{name})
		if err != nil {
			return nil, err
		}
		l.Sources[part] = s.name
		l.Packages[s.name] = found[s.name]
	}
	if bad := l.checkPackages(); bad != nil {
		return nil, errors.New(bad.text)
	}
	return l, nil
}

// apt runs the host's apt as if nothing were installed and no suite but one existed.
type apt struct{ options []string }

// newApt prepares an apt that keeps its cache in dir: parsing all package lists once is most of apt's run time.
func newApt(ctx context.Context, dir string) (*apt, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, err
	}
	prefs := filepath.Join(dir, "preferences")
	if err := os.WriteFile(prefs, []byte("Package: *\nPin: release n="+suite+"\nPin-Priority: 990\n"), 0o644); err != nil {
		return nil, err
	}
	status := filepath.Join(dir, "status")
	if err := os.WriteFile(status, nil, 0o644); err != nil {
		return nil, err
	}
	return &apt{[]string{
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

// checkPackages is check for a lock whose hashes of outputs are not known yet.
func (l *Lock) checkPackages() *flaw {
	c := *l
	zero, _ := ToSRI(strings.Repeat("0", 64))
	c.Go.NarHash, c.Modules.NarHash, c.Stage0.NarHash = zero, zero, zero
	c.Trees = maps.Clone(l.Trees)
	for n, t := range c.Trees {
		t.NarHash = zero
		c.Trees[n] = t
	}
	return c.check()
}
