package instance

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// What is kept of an instance's output, in bytes. The file has a hole between the two, so what a reader has not read
// yet stays at its place. A hole begins and ends with a block of the file system, whatever size that has.
const (
	keptBegin = 32 << 20
	keptEnd   = 32 << 20 // and up to keptStep more
	keptStep  = 8 << 20
	block     = 1 << 20
)

// span is how much of a file is kept, each a multiple of block.
type span struct{ begin, end, step int64 }

// keeper makes the hole in a file.
type keeper struct {
	span
	mu   sync.Mutex
	file *os.File
	from int64 // where the newest output begins that is kept
	full bool  // the file system makes no holes: nothing more is kept
	// punch makes a hole.
	punch func(at, size int64) error
}

// Output is a stream into the file of an instance's output, which does not grow without an end.
type Output struct {
	file *os.File
	to   *keeper
}

// Limited is a stream of this process, which is limited if it is the file of the instance's output.
func (o *Own) Limited(stream io.Writer) io.Writer {
	f, ok := stream.(*os.File)
	if !ok {
		return stream
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return stream
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.output == nil {
		o.output = newKeeper(f, span{keptBegin, keptEnd, keptStep})
	}
	return &Output{f, o.output}
}

func newKeeper(f *os.File, s span) *keeper {
	return &keeper{span: s, file: f, from: s.begin, punch: func(at, size int64) error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, size)
	}}
}

// Stat tells which file it is.
func (o *Output) Stat() (fs.FileInfo, error) { return o.file.Stat() }

// Write appends to the file, and then leaves out what is too much. Where the file system makes no holes, that is what
// comes from then on.
func (o *Output) Write(b []byte) (int, error) {
	k := o.to
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.full {
		return len(b), nil
	}
	n, err := o.file.Write(b)
	if err != nil {
		return n, err
	}
	fi, err := k.file.Stat()
	if err != nil || fi.Size()-k.from <= k.end+k.step {
		return n, nil
	}
	to := (fi.Size() - k.end) / block * block
	if err = k.punch(k.begin, to-k.begin); err == nil {
		k.from = to
	} else if !errors.Is(err, unix.EINTR) {
		k.full = true
		_, _ = fmt.Fprintf(k.file, "\nukl: what comes after the first %d MiB of this output is not kept\n", fi.Size()>>20)
	}
	return n, nil
}

// Reader reads what an instance has written, and says where something was left out.
type Reader struct {
	file *os.File
	at   int64
	span
}

// OpenOutput opens the file that Store.Output names.
func OpenOutput(file string) (*Reader, error) {
	f, err := os.Open(file)
	return &Reader{file: f, span: span{begin: keptBegin}}, err
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }

// Copy writes what has come since the last time.
func (r *Reader) Copy(w io.Writer) error {
	b := make([]byte, block)
	for {
		n, err := r.file.ReadAt(b, r.at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if kept := r.kept(); r.at+int64(n) > r.begin && kept > r.begin { // also if that was left out since
			switch {
			case r.at < r.begin:
				n = int(r.begin - r.at)
			case r.at < kept:
				if _, err := fmt.Fprintf(w, "\nukl: %d MiB of this output are not kept\n", max((kept-r.at)>>20, 1)); err != nil {
					return err
				}
				r.at = kept
				continue
			}
		}
		if n == 0 {
			return nil
		}
		if _, err := w.Write(b[:n]); err != nil {
			return err
		}
		r.at += int64(n)
	}
}

// kept is where the newest output begins that is kept: behind the hole, if there is one.
func (r *Reader) kept() int64 {
	at, err := unix.Seek(int(r.file.Fd()), r.begin, unix.SEEK_DATA)
	if err != nil { // there is nothing, or the file system does not tell
		return r.begin
	}
	return at
}

// longestFailure is how much of its output explains why an instance has not started.
const longestFailure = 64 << 10

// end is the end of a file.
func end(file string, most int64) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	if fi, err := f.Stat(); err == nil && fi.Size() > most {
		_, _ = f.Seek(-most, io.SeekEnd) // else it is the begin
	}
	text, _ := io.ReadAll(io.LimitReader(f, most))
	return string(text)
}
