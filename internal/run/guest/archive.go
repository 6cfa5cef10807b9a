package guest

import (
	"bytes"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"ukl/internal/run/newc"
)

// archive is one that is being written, or only counted, so that nothing as large as the guest's files is in memory
// twice.
type archive struct {
	w    io.Writer // nil only counts
	size int64     // so far
	root content   // what it becomes
	err  error     // the first one of w
}

// add appends one member.
func (a *archive) add(name string, mode int, data []byte) {
	a.count(name, int64(len(data)))
	if a.w != nil && a.err == nil {
		a.err = newc.Write(a.w, name, mode, data)
	}
}

// copy appends a file of a size.
func (a *archive) copy(name string, mode int, size int64, from io.Reader) error {
	a.count(name, size)
	if a.w != nil && a.err == nil {
		a.err = newc.Copy(a.w, name, mode, size, from)
	}
	return a.err
}

func (a *archive) count(name string, size int64) {
	a.size += newc.Size(name, size)
	a.root.add(size)
}

// append appends a whole archive.
func (a *archive) append(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if a.w != nil {
		n, err := io.Copy(a.w, f)
		a.size += n
		return err
	}
	text, done, err := mapped(f)
	if err != nil {
		return err
	}
	defer done()
	a.size += int64(len(text))
	c := unpacked(text)
	a.root.size += c.size
	a.root.writable += c.writable
	return nil
}

// mapped is a file's content, which is there until done is called.
func mapped(f *os.File) (text []byte, done func(), err error) {
	fi, err := f.Stat()
	if err != nil || fi.Size() == 0 {
		return nil, func() {}, err
	}
	text, err = unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "mmap", Path: f.Name(), Err: err}
	}
	return text, func() { _ = unix.Munmap(text) }, nil // what is mapped can be unmapped
}

// write appends the archive with the application's files, arguments, environment and volumes, behind those of the root
// file system and of drivers if there are any.
func (o *Options) write(a *archive) error {
	for _, file := range []string{o.Root, o.Drivers} {
		if file == "" {
			continue
		}
		if err := a.append(file); err != nil {
			return err
		}
	}
	return o.fill(a)
}

// initrd is what the run adds to the archives of the root file system and of drivers.
func (o *Options) initrd() ([]byte, error) {
	var size archive
	if err := o.fill(&size); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(int(size.size) + bytes.MinRead) // which reading asks for
	err := o.fill(&archive{w: &b})
	return b.Bytes(), err
}
