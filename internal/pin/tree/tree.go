// Package tree unpacks Debian packages into one merged-/usr directory that a chroot or a loader can use as it is. The
// result depends on the packages alone: not on their order, the clock, the user or the number of CPUs. It runs no
// maintainer script; what those would have linked (awk, cc, ...) is a table here. A package that asks for anything else
// than directories, files and links inside the tree is refused by name.
package tree

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"ukl/internal/pin/deb"
)

// Limits of one package. The largest pinned one (gcc-12) holds 70 MB in 100 files, perl-modules 700 files.
const (
	maxBytes = 4 << 30
	maxFiles = 200_000
	maxPath  = 1024
)

// merged are the top-level directories that are links into /usr.
var merged = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin"}

// dropped are never unpacked: nothing reads them during a build, and they are half of the files.
var dropped = []string{
	"usr/share/doc", "usr/share/doc-base", "usr/share/info", "usr/share/lintian", "usr/share/locale", "usr/share/man",
	"usr/share/bug", "usr/share/menu",
}

// skeleton are the mount points that package enter needs in a read-only root.
var skeleton = []string{
	"build", "dev", "etc", "nix/store", "proc", "root", "sys", "tmp", "usr/bin", "usr/lib",
	"usr/sbin",
}

// etc are the files that Debian's postinst scripts or installer write. uid and gid 1000 and 100 are the Nix sandbox's.
var etc = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\nbuild:x:1000:100:build:/build:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
	"etc/group":  "root:x:0:\nusers:x:100:\nnogroup:x:65534:\n",
	"etc/hosts":  "127.0.0.1 localhost\n::1 localhost\n",
}

// alternatives are the names that update-alternatives would link. The first candidate that the tree holds wins.
var alternatives = []struct {
	name       string
	candidates []string
}{
	{"usr/bin/aclocal", []string{"aclocal-1.16"}},
	{"usr/bin/automake", []string{"automake-1.16"}},
	{"usr/bin/awk", []string{"gawk", "mawk", "original-awk"}},
	{"usr/bin/c++", []string{"g++", "g++-12"}},
	{"usr/bin/c89", []string{"c89-gcc"}},
	{"usr/bin/c99", []string{"c99-gcc"}},
	{"usr/bin/cc", []string{"gcc", "gcc-12"}},
	{"usr/bin/nawk", []string{"gawk", "mawk", "original-awk"}},
	{"usr/bin/pager", []string{"more"}},
	{"usr/bin/sh", []string{"dash", "bash"}},
	{"usr/bin/which", []string{"which.debianutils"}},
	{"usr/bin/yacc", []string{"bison.yacc", "byacc"}},
}

// Build unpacks debs into the directory out, which must not exist, several at a time.
func Build(out string, debs []string) error {
	if err := os.Mkdir(out, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(out)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &tree{root: root, entries: map[string]entry{}}
	for _, d := range merged {
		if err := t.symlink("", d, "usr/"+d); err != nil {
			return err
		}
	}
	for _, d := range skeleton {
		if err := t.mkdir("", d); err != nil {
			return err
		}
	}
	if err := t.unpackAll(debs); err != nil {
		return err
	}
	for _, d := range merged {
		if err := t.mkdir("", "usr/"+d); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(etc)) {
		if err := t.file("", name, 0o644, strings.NewReader(etc[name])); err != nil {
			return err
		}
	}
	return t.link()
}

type kind int

const (
	dir kind = iota
	file
	link
)

// entry says what stands at a path and which package put it there ("" for this package itself).
type entry struct {
	kind  kind
	owner string
}

type tree struct {
	root    *os.Root
	mu      sync.Mutex
	entries map[string]entry
}

func (t *tree) unpackAll(debs []string) error {
	// Large packages first: the last worker then does not start the largest one alone.
	order := slices.Clone(debs)
	size := map[string]int64{}
	for _, d := range debs {
		if fi, err := os.Stat(d); err == nil {
			size[d] = fi.Size()
		}
	}
	slices.SortFunc(order, func(a, b string) int {
		if size[a] != size[b] {
			return int(size[b] - size[a])
		}
		return strings.Compare(a, b)
	})
	queue := make(chan string)
	errs := make([]error, len(order))
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(order)) {
		wg.Go(func() {
			for d := range queue {
				if err := t.unpack(d); err != nil {
					errs[slices.Index(order, d)] = fmt.Errorf("%s: %w", filepath.Base(d), err)
				}
			}
		})
	}
	for _, d := range order {
		queue <- d
	}
	close(queue)
	wg.Wait()
	return errors.Join(errs...)
}

func (t *tree) unpack(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	tr, err := deb.Data(f, maxBytes)
	if err != nil {
		return err
	}
	owner := filepath.Base(name)
	var size int64
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		// A sparse file is longer than what the archive holds of it.
		if h.Size < 0 || h.Size > maxBytes-size {
			return fmt.Errorf("%q: %w", h.Name, deb.ErrTooBig)
		}
		size += h.Size
		if err := t.add(owner, h, tr); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

func (t *tree) add(owner string, h *tar.Header, body io.Reader) error {
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	if name == "." || isDropped(name) {
		return nil
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return t.mkdir(owner, name)
	case tar.TypeReg:
		return t.file(owner, name, fs.FileMode(h.Mode), body)
	case tar.TypeSymlink:
		target, err := relative(h.Name, h.Linkname)
		if err != nil {
			return err
		}
		return t.symlink(owner, name, target)
	case tar.TypeLink:
		target, err := clean(h.Linkname)
		if err != nil {
			return fmt.Errorf("hard link to %q: %w", h.Linkname, err)
		}
		return t.hardlink(owner, name, target)
	default:
		return fmt.Errorf("device, fifo or unknown entry of type %q", h.Typeflag)
	}
}

// clean turns a name of an archive into a path of the merged tree, "." for the root.
func clean(name string) (string, error) {
	if name == "" || len(name) > maxPath || strings.ContainsRune(name, 0) {
		return "", errors.New("empty, too long or broken name")
	}
	if path.IsAbs(name) {
		return "", errors.New("absolute path")
	}
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", errors.New("\"..\" is part of the path")
	}
	return merge(path.Clean(name)), nil
}

// merge moves bin/x to usr/bin/x and so on.
func merge(name string) string {
	top, _, _ := strings.Cut(name, "/")
	if slices.Contains(merged, top) {
		return "usr/" + name
	}
	return name
}

// relative turns a link's target, as the archive has it, into a path relative to the link's own directory in the merged
// tree, so that a tree works at any place and no link leaves it.
func relative(name, target string) (string, error) {
	if target == "" || len(target) > maxPath || strings.ContainsRune(target, 0) {
		return "", fmt.Errorf("link to %q: empty, too long or broken target", target)
	}
	abs := path.Clean(target)
	if !path.IsAbs(target) {
		abs = path.Join(path.Dir(path.Clean(name)), target)
		if abs == ".." || strings.HasPrefix(abs, "../") {
			return "", fmt.Errorf("link to %q leaves the tree", target)
		}
	}
	abs = merge(strings.TrimPrefix(abs, "/"))
	if abs == "" {
		abs = "."
	}
	return filepath.Rel(path.Dir(merge(path.Clean(name))), abs)
}

func isDropped(name string) bool {
	for _, d := range dropped {
		if name == d || strings.HasPrefix(name, d+"/") {
			return true
		}
	}
	return false
}

// claim records that name is of kind k, and that its parents are directories. It reports whether the caller must make
// it, and refuses what two packages disagree on, whichever of them comes first.
func (t *tree) claim(owner, name string, k kind) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for d := path.Dir(name); d != "."; d = path.Dir(d) {
		e, ok := t.entries[d]
		if !ok {
			t.entries[d] = entry{dir, owner}
		} else if e.kind != dir {
			return false, fmt.Errorf("%s is not a directory in %s", d, e.owner)
		}
	}
	e, ok := t.entries[name]
	if !ok {
		t.entries[name] = entry{k, owner}
		return true, nil
	}
	if k == dir && e.kind == dir {
		return false, nil
	}
	return false, fmt.Errorf("also in %s", e.owner)
}

func (t *tree) parent(name string) error { return t.root.MkdirAll(path.Dir(name), 0o755) }

func (t *tree) mkdir(owner, name string) error {
	if _, err := t.claim(owner, name, dir); err != nil {
		return err
	}
	return t.root.MkdirAll(name, 0o755)
}

func (t *tree) file(owner, name string, mode fs.FileMode, body io.Reader) error {
	if _, err := t.claim(owner, name, file); err != nil {
		return err
	}
	if err := t.parent(name); err != nil {
		return err
	}
	// A store path knows one bit of the mode. Set-id bits and owners end here.
	perm := fs.FileMode(0o644)
	if mode&0o100 != 0 {
		perm = 0o755
	}
	f, err := t.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, perm)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

func (t *tree) symlink(owner, name, target string) error {
	if _, err := t.claim(owner, name, link); err != nil {
		return err
	}
	if err := t.parent(name); err != nil {
		return err
	}
	return t.root.Symlink(target, name)
}

// hardlink links name to a file that the same package unpacked before.
func (t *tree) hardlink(owner, name, target string) error {
	t.mu.Lock()
	e := t.entries[target]
	t.mu.Unlock()
	if e.kind != file || e.owner != owner {
		return fmt.Errorf("hard link to %q, which is no earlier file of this package", target)
	}
	if _, err := t.claim(owner, name, file); err != nil {
		return err
	}
	if err := t.parent(name); err != nil {
		return err
	}
	return t.root.Link(target, name)
}

// link makes the alternatives that no package brought.
func (t *tree) link() error {
	for _, a := range alternatives {
		if _, taken := t.entries[a.name]; taken {
			continue
		}
		for _, c := range a.candidates {
			if _, ok := t.entries[path.Join(path.Dir(a.name), c)]; ok {
				if err := t.symlink("", a.name, c); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}
