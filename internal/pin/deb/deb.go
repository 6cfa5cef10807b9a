// Package deb opens the data member of a Debian binary package as a tar stream. It reads an ar archive front to back,
// never runs a maintainer script and never writes a file. Input is hostile until proven otherwise: whatever the format
// does not allow is an error that names the member, and no stream is longer than the caller's limit.
package deb

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/therootcompany/xz"
)

const (
	arMagic      = "!<arch>\n"
	arHeaderSize = 60
	// window bounds the memory of one decompressor. dpkg-deb's strongest xz preset (-9) uses 64 MiB.
	window = 64 << 20
)

// ErrTooBig is wrapped by the error of a stream that is longer than its limit.
var ErrTooBig = errors.New("more data than the limit allows")

// Data returns the tar stream of the package's data member. r is read no further than needed; the tar stream fails with
// ErrTooBig once more than limit bytes came out of the decompressor.
func Data(r io.Reader, limit int64) (*tar.Reader, error) {
	br := bufio.NewReaderSize(r, 1<<16)
	var magic [len(arMagic)]byte
	if _, err := io.ReadFull(br, magic[:]); err != nil || string(magic[:]) != arMagic {
		return nil, errors.New("not an ar archive")
	}
	for first := true; ; first = false {
		name, size, err := nextMember(br)
		if err == io.EOF {
			return nil, errors.New("no data.tar member")
		}
		if err != nil {
			return nil, err
		}
		body := io.LimitReader(br, size)
		switch {
		case first:
			if err := checkVersion(name, size, body); err != nil {
				return nil, err
			}
		case strings.HasPrefix(name, "data.tar"):
			z, err := decompress(name, &exact{r: br, left: size})
			if err != nil {
				return nil, fmt.Errorf("%s: %v", name, err)
			}
			return tar.NewReader(&bounded{r: z, left: limit}), nil
		case !strings.HasPrefix(name, "control.tar") && !strings.HasPrefix(name, "_"):
			return nil, fmt.Errorf("unexpected member %q before data.tar", name)
		}
		if n, err := io.Copy(io.Discard, body); err != nil || (first && n != 0) || (!first && n != size) {
			return nil, fmt.Errorf("%s: archive ends inside the member", name)
		}
		if size%2 == 1 {
			if _, err := br.Discard(1); err != nil {
				return nil, fmt.Errorf("%s: archive ends inside the member", name)
			}
		}
	}
}

// nextMember parses one ar header: name[16] mtime[12] uid[6] gid[6] mode[8] size[10] "`\n".
func nextMember(r io.Reader) (name string, size int64, err error) {
	var h [arHeaderSize]byte
	if _, err := io.ReadFull(r, h[:]); err == io.EOF {
		return "", 0, io.EOF
	} else if err != nil {
		return "", 0, errors.New("archive ends inside a member header")
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", 0, errors.New("broken member header")
	}
	name = strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/")
	field := strings.TrimRight(string(h[48:58]), " ")
	size, err = strconv.ParseInt(field, 10, 64)
	if err != nil || size < 0 {
		return "", 0, fmt.Errorf("%s: bad member size %q", name, field)
	}
	return name, size, nil
}

func checkVersion(name string, size int64, body io.Reader) error {
	if name != "debian-binary" || size > 64 {
		return fmt.Errorf("first member is %q, not debian-binary", name)
	}
	b, err := io.ReadAll(body)
	if err != nil || !strings.HasPrefix(string(b), "2.") {
		return fmt.Errorf("debian-binary: unknown format version %q", strings.TrimSpace(string(b)))
	}
	return nil
}

func decompress(name string, r io.Reader) (io.Reader, error) {
	switch suffix := strings.TrimPrefix(name, "data.tar"); suffix {
	case "":
		return r, nil
	case ".gz":
		return gzip.NewReader(r)
	case ".xz":
		return xz.NewReader(r, window)
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(window))
		if err != nil {
			return nil, err
		}
		return z, nil
	default:
		return nil, fmt.Errorf("unknown compression %q", suffix)
	}
}

// exact reads a member and tells a short archive from the member's end.
type exact struct {
	r    io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if err == io.EOF && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// bounded fails, instead of ending quietly, when the limit is passed.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return 0, ErrTooBig
	}
	return n, err
}
