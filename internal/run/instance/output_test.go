package instance

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A long output keeps its begin and its end, takes no more of the disk than both, and a reader is told what it misses,
// the one that follows as well as one that comes later.
func TestLimited(t *testing.T) {
	file := filepath.Join(t.TempDir(), outputFile)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := span{begin: block, end: 2 * block, step: block}
	o := &Output{f, newKeeper(f, s)}
	const line = 64
	write := func(from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if n, err := fmt.Fprintf(o, "%*d\n", line-1, i); n != line || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	reader := func() *Reader {
		r, err := OpenOutput(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		r.span = s
		return r
	}
	read := func(r *Reader) string {
		t.Helper()
		var b bytes.Buffer
		if err := r.Copy(&b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const lines = block / line
	follows := reader()
	write(0, 4*lines)
	if got := read(follows); len(got) != 4*block || strings.Contains(got, "ukl") {
		t.Errorf("a short output has %d bytes", len(got))
	}
	write(4*lines, 20*lines)
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	if most := s.begin + s.end + 2*s.step; st.Blocks*512 > most {
		t.Errorf("the file takes %d bytes, more than %d", st.Blocks*512, most)
	}
	for name, r := range map[string]*Reader{"who follows": follows, "who comes late": reader()} {
		got := read(r)
		before, after, cut := strings.Cut(got, " MiB of this output are not kept\n")
		if !cut || strings.Contains(got, "\x00") {
			t.Fatalf("%s is not told, or reads what is not there: %d bytes", name, len(got))
		}
		before, missing, _ := strings.Cut(before, "\nukl: ")
		want := map[string]string{"who follows": "13", "who comes late": "16"}[name]
		if missing != want || int64(len(after)) != 3*block || !strings.HasSuffix(after, fmt.Sprintf("%d\n", 20*lines-1)) {
			t.Errorf("%s misses %s MiB, not %s, and reads %d bytes", name, missing, want, len(after))
		}
		if name == "who comes late" && (len(before) != block || !strings.HasSuffix(before, fmt.Sprintf(" %d\n", lines-1))) {
			t.Errorf("the begin has %d bytes", len(before))
		}
	}
	if got := read(follows); got != "" {
		t.Errorf("read twice: %d bytes", len(got))
	}
}

// Where no hole can be made, what is too much is left out, and the file says so.
func TestNoHoles(t *testing.T) {
	file := filepath.Join(t.TempDir(), outputFile)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	k := newKeeper(f, span{begin: block, end: block, step: block})
	k.punch = func(int64, int64) error { return unix.EOPNOTSUPP }
	o := &Output{f, k}
	for range 10 {
		if n, err := o.Write(make([]byte, block)); n != block || err != nil {
			t.Fatal(n, err)
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const told = "\nukl: what comes after the first 4 MiB of this output is not kept\n"
	if len(text) != 4*block+len(told) || !bytes.HasSuffix(text, []byte(told)) {
		t.Errorf("%d bytes are kept", len(text))
	}
}

// A failure that has said much is told by its end.
func TestEnd(t *testing.T) {
	file := filepath.Join(t.TempDir(), outputFile)
	if err := os.WriteFile(file, []byte("0123456789"), 0o600); err != nil {
		t.Fatal(err)
	}
	for most, want := range map[int64]string{4: "6789", 10: "0123456789", 99: "0123456789"} {
		if got := end(file, most); got != want {
			t.Errorf("the last %d bytes are %q, not %q", most, got, want)
		}
	}
	if got := end(file+"x", 4); got != "" {
		t.Errorf("of no file: %q", got)
	}
}
