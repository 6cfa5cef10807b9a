// Package seeds holds files by their SHA-256, as sha256/<hex>: in a folder, or in a tar archive that is one file to
// carry. What it gives back is not verified: whoever asks knows the hash. An archive is written whole or not at all.
package seeds

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"ukl/internal/host/regular"
)

// Ending is that of an archive's name.
const Ending = ".tar"

// prefix of each file's name.
const prefix = "sha256/"

var member = regexp.MustCompile(`^(?:\./)?` + prefix + `([0-9a-f]{64})$`)

// Store is a folder or an archive of seeds to read from. Close it.
type Store struct {
	Path string

	archive *os.File // nil for a folder
	at      map[string]*io.SectionReader
}

// Open opens a folder, or reads the table of an archive. Other members than seeds are not looked at.
func Open(path string) (*Store, error) {
	s := &Store{Path: path}
	fi, err := os.Stat(path)
	if err != nil || fi.IsDir() {
		return s, err
	}
	if s.archive, err = regular.Open(path); err != nil {
		return nil, err
	}
	s.at = map[string]*io.SectionReader{}
	for r := tar.NewReader(s.archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			s.archive.Close()
			return nil, fmt.Errorf("%s is neither a folder nor a complete tar archive: %w", path, err)
		}
		m := member.FindStringSubmatch(h.Name)
		if m == nil || h.Typeflag != tar.TypeReg {
			continue
		}
		begin, err := s.archive.Seek(0, io.SeekCurrent) // the reader takes no byte ahead
		if err == nil && begin+h.Size > fi.Size() {     // a reader that can seek does not see the end
			err = fmt.Errorf("%s: the archive ends within %s", path, h.Name)
		}
		if err != nil {
			s.archive.Close()
			return nil, err
		}
		s.at[m[1]] = io.NewSectionReader(s.archive, begin, h.Size)
	}
}

// Close ends reading.
func (s *Store) Close() error {
	if s.archive == nil {
		return nil
	}
	return s.archive.Close()
}

// Place is where a file is or would be, for messages.
func (s *Store) Place(hex string) string {
	if s.archive != nil {
		return s.Path + ":" + prefix + hex
	}
	return filepath.Join(s.Path, prefix+hex)
}

// Seed is an open file. Close it.
type Seed struct {
	io.ReadCloser
	Size int64 // when it was opened; in bytes
}

// Get opens a file. The error is fs.ErrNotExist if it is not there, and a *regular.Irregular if it cannot be one. A
// link of a folder is followed.
func (s *Store) Get(hex string) (*Seed, error) {
	if s.archive == nil {
		return FromFile(s.Place(hex))
	}
	r, ok := s.at[hex]
	if !ok {
		return nil, fmt.Errorf("%s: %w", s.Place(hex), fs.ErrNotExist)
	}
	return &Seed{io.NopCloser(io.NewSectionReader(r, 0, r.Size())), r.Size()}, nil
}

// FromFile opens a file as Get does.
func FromFile(path string) (*Seed, error) {
	f, err := regular.Open(path)
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Seed{f, fi.Size()}, nil
}

// Writer makes an archive. Equal files in equal order make equal bytes. Close or Drop it.
type Writer struct {
	path string
	tmp  *os.File
	tar  *tar.Writer
}

// Create begins an archive, which takes the place of an older one when it is closed.
func Create(path string) (*Writer, error) {
	dir, name := filepath.Split(path)
	if err := os.MkdirAll(filepath.Clean(dir), 0o755); err != nil {
		return nil, err
	}
	tmp, err := os.CreateTemp(filepath.Clean(dir), "."+name+"-")
	if err != nil {
		return nil, err
	}
	return &Writer{path, tmp, tar.NewWriter(tmp)}, nil
}

// Put adds the content of a file of the host.
func (w *Writer) Put(hex, file string) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	fi, err := r.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: prefix + hex, Mode: 0o644, Size: fi.Size(), ModTime: time.Unix(0, 0), Format: tar.FormatGNU}
	if err := w.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w.tar, r)
	return err
}

// Temporary is a directory on the archive's disk, for files that are to be put into it. The caller removes it.
func (w *Writer) Temporary() (string, error) {
	return os.MkdirTemp(filepath.Dir(w.tmp.Name()), ".ukl-export-")
}

// Drop forgets the archive, unless it was closed.
func (w *Writer) Drop() {
	w.tmp.Close()
	os.Remove(w.tmp.Name())
}

// Close finishes the archive and gives it its name.
func (w *Writer) Close() error {
	err := w.tar.Close()
	if err := errors.Join(err, w.tmp.Chmod(0o644), w.tmp.Close()); err != nil {
		return err
	}
	return os.Rename(w.tmp.Name(), w.path)
}
