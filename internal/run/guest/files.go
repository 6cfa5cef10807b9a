package guest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"ukl/internal/cli/exit"
	"ukl/internal/machine/qemu"
)

// File is a file or a directory of the host that is copied into the guest's root file system before the application
// starts.
type File struct {
	Guest string // absolute and clean
	Host  string
}

// HostFiles are the places of the host where a file of the guest may be from: a volume, or else what was copied. They
// need not be there.
func (o *Options) HostFiles(guest string) []string {
	var places []string
	for _, v := range o.Machine.Volumes {
		if rest, ok := strings.CutPrefix(guest, v.Place()+"/"); ok && v.FileSystem == "" && filepath.IsLocal(rest) {
			places = append(places, filepath.Join(v.Host, rest))
		}
	}
	for _, f := range slices.Concat(o.Files, o.Usual) {
		rest, ok := strings.CutPrefix(guest, strings.TrimSuffix(f.Guest, "/"))
		if ok && (rest == "" || rest[0] == '/' && filepath.IsLocal(rest[1:])) {
			places = append(places, filepath.Join(f.Host, rest))
		}
	}
	return places
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

// addFiles appends the files and the directories around them to an archive. Of a file's mode the right to execute it is
// kept; owner is root, and times are 0, so that equal files give equal bytes. It returns the names of all members.
func addFiles(b *bytes.Buffer, files []File) (members, error) {
	made := members{".": directory}
	for _, f := range files {
		err := filepath.WalkDir(f.Host, func(at string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(f.Host, at)
			if err != nil {
				return err
			}
			return addFile(b, path.Join(f.Guest, filepath.ToSlash(rel))[1:], at, at == f.Host, made)
		})
		if err != nil {
			return nil, err
		}
	}
	return made, nil
}

// addUsual appends the files of directories for which the archive has room.
func addUsual(b *bytes.Buffer, usual []File, made members) error {
	for _, f := range usual {
		err := filepath.WalkDir(f.Host, func(at string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(f.Host, at)
			if err != nil {
				return err
			}
			name := path.Join(f.Guest, filepath.ToSlash(rel))[1:]
			if !made.room(name) {
				return nil
			}
			return addFile(b, name, at, false, made)
		})
		if err != nil {
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

// addFile appends one; made are the members that the archive has. The file that was named itself is followed if it is a
// link.
func addFile(b *bytes.Buffer, name, host string, named bool, made members) error {
	look := os.Lstat
	if named {
		look = os.Stat
	}
	fi, err := look(host)
	if err != nil {
		return err
	}
	addParents(b, path.Dir(name), made)
	switch mode := fi.Mode(); {
	case mode.IsDir():
		addParents(b, name, made)
	case mode.IsRegular():
		if most := mostFiles(); fi.Size() > largestFile || int64(b.Len()) > most-fi.Size() {
			return &TooBig{host, fi.Size(), min(most, largestFile)}
		}
		text, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		perm := 0o100644
		if mode&0o111 != 0 {
			perm = 0o100755
		}
		entry(b, name, perm, text)
		made[name] = file
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		entry(b, name, 0o120777, []byte(target))
		made[name] = link
	default:
		return exit.Errorf(exit.Input, "%s is neither a file nor a directory nor a link", host).
			WithHint("name a file or a directory in [files]")
	}
	return nil
}

func addParents(b *bytes.Buffer, dir string, made members) {
	if made.has(dir) || dir == "/" {
		return
	}
	addParents(b, path.Dir(dir), made)
	made[dir] = directory
	entry(b, dir, 0o040755, nil)
}
