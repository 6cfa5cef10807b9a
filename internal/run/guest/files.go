package guest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"ukl/internal/cli/exit"
	"ukl/internal/host/realpath"
	"ukl/internal/host/regular"
	"ukl/internal/machine/qemu"
)

// File is a file or a directory of the host that is copied into the guest's root file system before the application
// starts.
type File struct {
	Guest string // absolute and clean
	Host  string
	// Only tells by its name whether a file below the directory is copied, with what is in it; nil is for all.
	Only func(name string) bool
}

// HostFiles are the places of the host where a file of the guest may be from: a volume, or else what was copied. They
// need not be there. None of them is where the guest writes.
func (o *Options) HostFiles(guest string) []HostFile {
	var places []HostFile
	for _, v := range o.Machine.Volumes {
		at := strings.TrimSuffix(v.Place(), "/") + "/"
		if rest, ok := strings.CutPrefix(guest, at); ok && v.FileSystem == "" && filepath.IsLocal(rest) {
			places = append(places, HostFile{v.Host, rest})
		}
	}
	for _, f := range slices.Concat(o.Files, o.Usual) {
		rest, ok := strings.CutPrefix(guest, strings.TrimSuffix(f.Guest, "/"))
		switch {
		case ok && rest == "":
			places = append(places, HostFile{filepath.Dir(f.Host), filepath.Base(f.Host)})
		case ok && rest[0] == '/' && filepath.IsLocal(rest[1:]):
			places = append(places, HostFile{f.Host, rest[1:]})
		}
	}
	return slices.DeleteFunc(places, func(h HostFile) bool { return o.Writes(filepath.Join(h.Dir, h.Name)) })
}

// Writes tells whether the guest may write to a file of the host, by a path without links: what reads symbols and
// tables out of a program's file believes it how much there is.
func (o *Options) Writes(path string) bool {
	return slices.ContainsFunc(o.Machine.Volumes, func(v qemu.Volume) bool {
		return !v.ReadOnly && realpath.Inside(v.Host, path)
	})
}

// HostFile is a file in a directory of the host, to which another guest may write.
type HostFile struct{ Dir, Name string }

// Open opens it to read, if it is a regular file. No link leads out of the directory.
func (h HostFile) Open() (*os.File, error) {
	dir, err := os.OpenRoot(h.Dir)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(h.Name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &regular.Irregular{Path: h.Name, Kind: regular.Kind(fi.Mode())}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Has tells whether a file of that name is among files, or in a directory among them.
func Has(files []File, name string) bool {
	for _, f := range files {
		found := false
		_ = filepath.WalkDir(f.Host, func(at string, d fs.DirEntry, err error) error { // what is wrong there is said later
			if err != nil || d.IsDir() {
				return err
			}
			called := d.Name()
			if at == f.Host {
				called = path.Base(f.Guest)
			}
			if found = called == name; found {
				return fs.SkipAll
			}
			return nil
		})
		if found {
			return true
		}
	}
	return false
}

// members are the names in an archive, and what each is.
type members map[string]kind

type kind int

const (
	file kind = iota
	directory
	link
)

// kindOf is what the type in a mode of the archive says.
func kindOf(mode int) kind {
	switch mode &^ 0o7777 {
	case 0o040000:
		return directory
	case 0o120000:
		return link
	}
	return file
}

func (m members) has(name string) bool {
	_, ok := m[name]
	return ok
}

// room tells whether a member can be added: it is not there, and all above it that is there is a directory.
func (m members) room(name string) bool {
	if m.has(name) {
		return false
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if is, there := m[dir]; there && is != directory {
			return false
		}
	}
	return true
}

// bear looks whether volumes can be mounted: no file of the archive is in the way.
func (m members) bear(volumes []qemu.Volume) error {
	for _, v := range volumes {
		for at := v.Guest; at != "/"; at = path.Dir(at) {
			if is, there := m[at[1:]]; there && is == file {
				return &Misplaced{v, at}
			}
		}
	}
	return nil
}

// Misplaced is a volume at or below a place where the guest has a file.
type Misplaced struct {
	Volume qemu.Volume
	File   string // in the guest
}

func (e *Misplaced) Error() string {
	return fmt.Sprintf("volume %s: the guest has a file %s, so nothing can be mounted there", e.Volume, e.File)
}

// ExitCode is that of a wrong argument: the place was named.
func (e *Misplaced) ExitCode() exit.Code { return exit.Usage }

// tree is a directory of an archive in which files are put, and what it has.
type tree struct {
	archive *archive
	at      string // what the names of its members in the archive begin with; "" is the root
	members
}

func newTree(a *archive, at string) *tree {
	return &tree{a, at, members{".": directory}}
}

// add appends one member.
func (t *tree) add(name string, mode int, data []byte) {
	t.archive.add(t.at+name, mode, data)
	t.members[name] = kindOf(mode)
}

// addFiles appends files and the directories around them. Of a file's mode the right to execute it is kept; owner is
// root, and times are 0, so that equal files give equal bytes.
func (t *tree) addFiles(files []File) error {
	for _, f := range files {
		if err := t.addAll(f, func(string) bool { return true }); err != nil {
			return err
		}
	}
	return nil
}

// addAll appends a file, or what is in a directory and has room. It follows no link, and takes nothing that is not in
// the directory, whoever changes it meanwhile.
func (t *tree) addAll(f File, room func(name string) bool) error {
	in, err := realpath.Open(f.Host, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	if !fi.IsDir() {
		return t.addFile(f.Guest[1:], f.Host, fi, func() (io.ReadCloser, error) { return io.NopCloser(in), nil }, nil)
	}
	root, err := os.OpenRoot(fmt.Sprintf("/proc/self/fd/%d", in.Fd()))
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(at string, d fs.DirEntry, err error) error {
		name := path.Join(f.Guest, at)[1:]
		switch {
		case err != nil:
			return err
		case at != "." && f.Only != nil && !f.Only(d.Name()):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !room(name):
			return nil
		}
		fi, err := root.Lstat(at)
		if err != nil {
			return err
		}
		return t.addFile(name, filepath.Join(f.Host, at), fi, func() (io.ReadCloser, error) { return openBelow(root, at) },
			func() (string, error) { return root.Readlink(at) })
	})
}

// openBelow opens a file of a directory. It does not wait for whoever writes to a pipe.
func openBelow(root *os.Root, name string) (io.ReadCloser, error) {
	return root.OpenFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
}

// readWhole is the size up to which a file is read before its size is written: it may be one of /sys, which has less
// than it says.
const readWhole = 64 << 10

// addUsual appends the files of directories for which there is room.
func (t *tree) addUsual(usual []File) error {
	for _, f := range usual {
		var err error
		if f.Host, err = realpath.Of(f.Host); err != nil {
			return err
		}
		if err := t.addAll(f, t.room); err != nil {
			return err
		}
	}
	return nil
}

// TooBig is a file for the root file system that cannot be there, which is memory of the guest.
type TooBig struct {
	File string
	Size int64 // bytes
	Most int64 // that all files may have
}

func (e *TooBig) Error() string {
	return fmt.Sprintf("%s has %d MB, and the files of a guest, which are in its memory, may have %d MB here", e.File,
		e.Size/1e6, e.Most/1e6)
}

// ExitCode is the code of a command that this ends.
func (*TooBig) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (*TooBig) Hint() string { return "lend it the directory: volumes in ukl.toml, or --volume" }

// largestFile is what an archive has digits for.
const largestFile = 1<<32 - 1

// mostFiles is what the files of a guest may have together. They take three times as much of its memory, which this
// machine must have.
var mostFiles = sync.OnceValue(func() int64 {
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) != nil {
		return largestFile
	}
	return int64(s.Totalram) * int64(s.Unit) / 3
})

// addFile appends one, which the host calls so.
func (t *tree) addFile(name, host string, fi fs.FileInfo, open func() (io.ReadCloser, error),
	lead func() (string, error),
) error {
	t.addParents(path.Dir(name))
	switch mode := fi.Mode(); {
	case mode.IsDir():
		t.addParents(name)
	case mode.IsRegular():
		if most := mostFiles(); fi.Size() > largestFile || t.archive.size > most-fi.Size() {
			return &TooBig{host, fi.Size(), min(most, largestFile)}
		}
		from, err := open()
		if err != nil {
			return err
		}
		defer from.Close()
		perm := 0o100644
		if mode&0o111 != 0 {
			perm = 0o100755
		}
		if fi.Size() > readWhole {
			t.members[name] = file
			return t.archive.copy(t.at+name, perm, fi.Size(), from)
		}
		text, err := io.ReadAll(io.LimitReader(from, fi.Size()))
		if err != nil {
			return err
		}
		t.add(name, perm, text)
	case mode&fs.ModeSymlink != 0:
		target, err := lead()
		if err != nil {
			return err
		}
		t.add(name, 0o120777, []byte(target))
	default:
		return exit.Errorf(exit.Input, "%s is neither a file nor a directory nor a link", host).
			WithHint("name a file or a directory in [files]")
	}
	return nil
}

func (t *tree) addParents(dir string) {
	if t.has(dir) || dir == "/" {
		return
	}
	t.addParents(path.Dir(dir))
	t.add(dir, 0o040755, nil)
}
