// Package regular opens regular files only. A pipe would keep whoever opens it for ever, and a device has no end: both
// are an *Irregular at once. A link counts as what it leads to.
package regular

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"ukl/internal/cli/exit"
)

// Irregular says that something is no regular file.
type Irregular struct{ Path, Kind string }

func (e *Irregular) Error() string { return fmt.Sprintf("%s is %s, not a file", e.Path, e.Kind) }

// ExitCode is the code of a command that this ends.
func (*Irregular) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (*Irregular) Hint() string { return "put a regular file there" }

// TooLarge says that a file is larger than anything of its kind.
type TooLarge struct {
	Path string
	Most int64 // bytes
}

func (e *TooLarge) Error() string { return fmt.Sprintf("%s has more than %d bytes", e.Path, e.Most) }

// ExitCode is the code of a command that this ends.
func (*TooLarge) ExitCode() exit.Code { return exit.Input }

// Kind is what messages call something of a mode; "" is a regular file.
func Kind(mode fs.FileMode) string {
	switch {
	case mode.IsRegular():
		return ""
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a link"
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	}
	return "a device"
}

func check(path string, fi fs.FileInfo, err error) error {
	if err != nil {
		return err
	}
	if kind := Kind(fi.Mode()); kind != "" {
		return &Irregular{path, kind}
	}
	return nil
}

// Open opens a regular file to read. What is put into its place meanwhile does not block, and is refused, too.
func Open(path string) (*os.File, error) {
	fi, err := os.Stat(path) // opening a device could already do something
	if err := check(path, fi, err); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	fi, err = f.Stat()
	if err := check(path, fi, err); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Read reads a regular file that has at most most bytes.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = &TooLarge{path, most}
	}
	return text, err
}

// Until is a reader that ends with its context: a file may have more than anybody wants to wait for.
func Until(ctx context.Context, r io.Reader) io.Reader { return until{ctx, r} }

type until struct {
	ctx context.Context
	io.Reader
}

func (u until) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(b)
}

// MostText is how large a file may be that a Dir reads as a whole, in bytes: texts are.
const MostText = 64 << 20

// Dir is the file system of a directory, as os.DirFS, but opens only directories and regular files.
func Dir(path string) fs.FS { return dir{os.DirFS(path), path} }

type dir struct {
	fs.FS
	path string
}

func (d dir) Open(name string) (fs.File, error) {
	fi, err := fs.Stat(d.FS, name)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		return d.FS.Open(name)
	}
	return Open(filepath.Join(d.path, name))
}

func (d dir) Stat(name string) (fs.FileInfo, error)         { return fs.Stat(d.FS, name) }
func (d dir) ReadDir(name string) ([]fs.DirEntry, error)    { return fs.ReadDir(d.FS, name) }
func (d dir) Lstat(name string) (fs.FileInfo, error)        { return fs.Lstat(d.FS, name) }
func (d dir) ReadLink(name string) (target string, _ error) { return fs.ReadLink(d.FS, name) }

func (d dir) ReadFile(name string) ([]byte, error) {
	if _, err := fs.Stat(d.FS, name); err != nil { // names that fs.FS refuses among them
		return nil, err
	}
	return Read(filepath.Join(d.path, name), MostText)
}
