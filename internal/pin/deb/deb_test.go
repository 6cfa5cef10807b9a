package deb

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func member(name string, body []byte) []byte {
	h := fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(body))
	b := append([]byte(h), body...)
	if len(body)%2 == 1 {
		b = append(b, '\n')
	}
	return b
}

func archive(members ...[]byte) []byte {
	return append([]byte(arMagic), bytes.Join(members, nil)...)
}

func tarOf(t *testing.T, name, body string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(body))}); err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, body)
	w.Close()
	return b.Bytes()
}

func gz(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zst(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

var version = member("debian-binary", []byte("2.0\n"))

func TestDataReadsEachCompression(t *testing.T) {
	plain := tarOf(t, "./usr/x", "hello")
	control := member("control.tar.xz", []byte("odd"))
	for name, data := range map[string][]byte{
		"data.tar":     plain,
		"data.tar.gz":  gz(plain),
		"data.tar.zst": zst(plain),
		"data.tar.xz":  xzHello,
	} {
		tr, err := Data(bytes.NewReader(archive(version, control, member(name, data))), 1<<20)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		h, err := tr.Next()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b, err := io.ReadAll(tr)
		if h.Name != "./usr/x" || string(b) != "hello" || err != nil {
			t.Errorf("%s: got %q %q %v", name, h.Name, b, err)
		}
	}
}

func TestDataRefuses(t *testing.T) {
	plain := tarOf(t, "x", "y")
	cut := archive(version, member("data.tar", plain))
	for _, c := range []struct {
		name, want string
		in         []byte
	}{
		{"empty", "not an ar archive", nil},
		{"other file", "not an ar archive", []byte("#!/bin/sh\nexit 0\n")},
		{"no version", "not debian-binary", archive(member("data.tar", plain))},
		{
			"future version", "unknown format version",
			archive(member("debian-binary", []byte("3.0\n")), member("data.tar", plain)),
		},
		{"no data", "no data.tar member", archive(version, member("control.tar", nil))},
		{"stray member", "unexpected member", archive(version, member("evil", nil), member("data.tar", plain))},
		{"compression", "unknown compression", archive(version, member("data.tar.bz2", plain))},
		{"garbage xz", "data.tar.xz", archive(version, member("data.tar.xz", []byte("not xz at all")))},
		{"bad size", "bad member size", append([]byte(arMagic),
			[]byte(fmt.Sprintf("%-16s%-12d%-6d%-6d%-8s%-10s`\n", "debian-binary", 0, 0, 0, "1", "-4"))...)},
		{"bad magic", "broken member header", append([]byte(arMagic), bytes.Repeat([]byte{' '}, arHeaderSize)...)},
		{"cut header", "ends inside a member header", cut[:len(arMagic)+20]},
		{"cut control", "archive ends inside", archive(version, member("control.tar", plain))[:200]},
		{"cut data", "unexpected EOF", cut[:len(cut)-1600]},
		{"declared too small", "unexpected EOF", archive(version, append(member("data.tar", plain[:300]), plain[300:]...))},
		{
			"declared too large", "archive ends inside",
			append(archive(version), bytes.Replace(member("control.tar", nil), []byte("0         `"), []byte("9999999999`"),
				1)...),
		},
	} {
		tr, err := Data(bytes.NewReader(c.in), 1<<20)
		if err == nil {
			if _, err = tr.Next(); err == nil {
				_, err = io.Copy(io.Discard, tr)
			}
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}

// 4 MiB of zeros are a few kilobytes. testdata/zeros.tar.xz was made by: truncate -s 4M zeros; tar -c zeros | xz -9e
func TestDataStopsABomb(t *testing.T) {
	plain := tarOf(t, "x", strings.Repeat("\x00", 4<<20))
	xz, err := os.ReadFile("testdata/zeros.tar.xz")
	if err != nil {
		t.Fatal(err)
	}
	for name, bomb := range map[string][]byte{
		"data.tar": plain, "data.tar.gz": gz(plain), "data.tar.zst": zst(plain),
		"data.tar.xz": xz,
	} {
		for limit, want := range map[int64]error{1 << 20: ErrTooBig, 8 << 20: nil} {
			tr, err := Data(bytes.NewReader(archive(version, member(name, bomb))), limit)
			if err == nil {
				if _, err = tr.Next(); err == nil {
					_, err = io.Copy(io.Discard, tr)
				}
			}
			if !errors.Is(err, want) {
				t.Errorf("%s: a member of %d bytes that holds 4 MiB, under a limit of %d: %v; want %v", name, len(bomb), limit, err,
					want)
			}
		}
	}
}

// A decompressor that would need more memory than any package does is refused before it takes it.
func TestDataRefusesHugeWindows(t *testing.T) {
	b := bytes.Clone(xzHello)
	// The block header begins behind 12 bytes: size, flags, filter, size of its properties, dictionary size; its CRC-32
	// ends it.
	b[12+4] = 40 // 4 GiB
	binary.LittleEndian.PutUint32(b[12+8:], crc32.ChecksumIEEE(b[12:12+8]))
	tr, err := Data(bytes.NewReader(archive(version, member("data.tar.xz", b))), 1<<20)
	if err == nil {
		_, err = tr.Next()
	}
	if err == nil || !strings.Contains(err.Error(), "dictionary") && !strings.Contains(err.Error(), "memory") {
		t.Errorf("a dictionary of 4 GiB: %v", err)
	}
}
