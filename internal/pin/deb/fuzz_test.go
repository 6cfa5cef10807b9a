package deb

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"testing"
)

// most is the limit of the fuzzed packages.
const most = 1 << 20

// unpack reads all of a package's data and says how much it was.
func unpack(b []byte) (int64, error) {
	tr, err := Data(bytes.NewReader(b), most)
	if err != nil {
		return 0, err
	}
	var total int64
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		n, err := io.Copy(io.Discard, io.LimitReader(tr, 2*most))
		total += n
		if err != nil {
			return total, err
		}
	}
}

// No package is read past the limit, whatever it is.
func FuzzData(f *testing.F) {
	plain := func(name, body string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}),
			func() error { _, err := io.WriteString(w, body); return err }(), w.Close()); err != nil {
			f.Fatal(err)
		}
		return b.Bytes()
	}("./usr/x", "hello")
	for name, data := range map[string][]byte{
		"data.tar": plain, "data.tar.gz": gz(plain), "data.tar.zst": zst(plain),
		"data.tar.xz": xzHello,
	} {
		f.Add(archive(version, member("control.tar.xz", []byte("odd")), member(name, data)))
	}
	f.Add(append([]byte(arMagic), version[:40]...))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := unpack(b)
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		_ = n
	})
}
