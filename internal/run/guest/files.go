package guest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"ukl/internal/cli/exit"
)

// File is a file or a directory of the host that is copied into the guest's root file system before the application
// starts.
type File struct {
	Guest string // absolute and clean
	Host  string
}

// Heavy says that the files leave the guest too little memory: they are in it twice while the kernel unpacks them.
type Heavy struct{ Files, Memory int } // MiB

func (e *Heavy) Error() string {
	return fmt.Sprintf("the files of ukl.toml take %d MiB, and the guest has %d MiB of memory", e.Files, e.Memory)
}

// ExitCode is the code of a command that this ends.
func (*Heavy) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Heavy) Hint() string {
	return fmt.Sprintf("give it at least -m %dM, or mount the directory with --volume", 2*e.Files+64)
}

// members are the names in an archive, and whether each is a directory.
type members map[string]bool

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
		if is, there := m[dir]; there && !is {
			return false
		}
	}
	return true
}

// addFiles appends the files and the directories around them to an archive. Of a file's mode the right to execute it is
// kept; owner is root, and times are 0, so that equal files give equal bytes. It returns the names of all members.
func addFiles(b *bytes.Buffer, files []File) (members, error) {
	made := members{".": true}
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
	defer func() { made[name] = fi.IsDir() }()
	switch mode := fi.Mode(); {
	case mode.IsDir():
		addParents(b, name, made)
	case mode.IsRegular():
		text, err := os.ReadFile(host)
		if err != nil {
			return err
		}
		perm := 0o100644
		if mode&0o111 != 0 {
			perm = 0o100755
		}
		entry(b, name, perm, text)
	case mode&fs.ModeSymlink != 0:
		target, err := os.Readlink(host)
		if err != nil {
			return err
		}
		entry(b, name, 0o120777, []byte(target))
	default:
		return fmt.Errorf("%s is neither a file nor a directory nor a link", host)
	}
	return nil
}

func addParents(b *bytes.Buffer, dir string, made members) {
	if made.has(dir) || dir == "/" {
		return
	}
	addParents(b, path.Dir(dir), made)
	made[dir] = true
	entry(b, dir, 0o040755, nil)
}
