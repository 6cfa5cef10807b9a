package tree

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ukl/internal/pin/deb"
)

// pkg writes a package holding the entries and returns its path.
func pkg(t *testing.T, name string, entries ...tar.Header) string {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	for _, h := range entries {
		body := h.PAXRecords["body"]
		h.PAXRecords = nil
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(body))
	}
	w.Close()
	return archived(t, name, data.Bytes())
}

// archived writes a package whose data.tar is data and returns its path.
func archived(t *testing.T, name string, data []byte) string {
	t.Helper()
	var ar bytes.Buffer
	ar.WriteString("!<arch>\n")
	for _, m := range []struct {
		name string
		body []byte
	}{{"debian-binary", []byte("2.0\n")}, {"data.tar", data}} {
		fmt.Fprintf(&ar, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 0, 0, 0, "100644", len(m.body))
		ar.Write(m.body)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, ar.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func reg(name, body string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, PAXRecords: map[string]string{"body": body}}
}
func mode(h tar.Header, m int64) tar.Header { h.Mode = m; return h }
func folder(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}
}

func symlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
}

func hard(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to}
}

// listing renders what a NAR would hold: kinds, the execute bit, contents.
func listing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		fi, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			fmt.Fprintf(&b, "%s -> %s\n", rel, to)
		case d.IsDir():
			fmt.Fprintf(&b, "%s/\n", rel)
		default:
			body, _ := os.ReadFile(p)
			fmt.Fprintf(&b, "%s %v %s\n", rel, fi.Mode(), body)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBuildMerges(t *testing.T) {
	a := pkg(t, "a.deb",
		folder("./"), folder("./bin/"), mode(reg("./bin/tool", "tool"), 0o4755), symlink("./lib64/ld.so", "/lib/x/ld.so"),
		reg("./lib/x/ld.so", "ld"), reg("./usr/share/doc/a/copyright", "dropped"), reg("./usr/share/man/man1/a.1", "dropped"))
	b := pkg(t, "b.deb",
		folder("./usr/"), folder("./usr/bin/"), mode(reg("./usr/bin/gawk", "awk"), 0o755),
		hard("./usr/bin/gawk-5", "./usr/bin/gawk"),
		symlink("./bin/up", "../etc/alternatives/up"), symlink("./etc/alternatives/up", "/bin/tool"))
	out := filepath.Join(t.TempDir(), "out")
	if err := Build(out, []string{a, b}); err != nil {
		t.Fatal(err)
	}
	got := listing(t, out)
	for _, want := range []string{
		"bin -> usr/bin\n",
		"usr/bin/tool -rwxr-xr-x tool\n", // set-uid is gone
		"usr/lib64/ld.so -> ../lib/x/ld.so\n",
		"usr/bin/awk -> gawk\n",
		"usr/bin/gawk-5 -rwxr-xr-x awk\n",
		"usr/bin/up -> ../../etc/alternatives/up\n",
		"etc/alternatives/up -> ../../usr/bin/tool\n",
		"nix/store/\n",
	} {
		if !strings.Contains("\n"+got, "\n"+want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "dropped") {
		t.Errorf("documentation was unpacked:\n%s", got)
	}
}

func TestBuildDoesNotDependOnOrder(t *testing.T) {
	var debs []string
	for i := range 20 {
		n := fmt.Sprint(i)
		debs = append(debs, pkg(t, n+".deb", folder("./usr/lib/"), reg("./usr/lib/"+n, n), symlink("./lib/l"+n, n)))
	}
	var first string
	for range 3 {
		out := filepath.Join(t.TempDir(), "out")
		if err := Build(out, debs); err != nil {
			t.Fatal(err)
		}
		if got := listing(t, out); first == "" {
			first = got
		} else if got != first {
			t.Fatal("two orders, two trees")
		}
		slices.Reverse(debs)
	}
}

func TestBuildRefuses(t *testing.T) {
	ok := reg("./usr/bin/x", "x")
	for _, c := range []struct {
		name, want string
		entries    []tar.Header
	}{
		{"absolute path", "absolute path", []tar.Header{reg("/etc/passwd", "")}},
		{"dot dot", `".." is part of the path`, []tar.Header{reg("./usr/../../etc/passwd", "")}},
		{"dot dot inside", `".." is part of the path`, []tar.Header{reg("./usr/../etc/x", "")}},
		{"link out", "leaves the tree", []tar.Header{symlink("./usr/bin/x", "../../../../etc/passwd")}},
		{"hard link out", `".." is part of the path`, []tar.Header{hard("./usr/bin/x", "../../../etc/passwd")}},
		{"hard link to nothing", "no earlier file", []tar.Header{hard("./usr/bin/x", "./etc/shadow")}},
		{"hard link to a symlink", "no earlier file", []tar.Header{symlink("./l", "/etc"), hard("./usr/bin/x", "./l")}},
		{
			"write through a symlink", "not a directory",
			[]tar.Header{symlink("./usr/evil", "/etc"), reg("./usr/evil/passwd", "")},
		},
		{"write through a file", "not a directory", []tar.Header{reg("./usr/f", ""), reg("./usr/f/g", "")}},
		{"device", "device, fifo", []tar.Header{{Typeflag: tar.TypeChar, Name: "./dev/mem", Devmajor: 1, Devminor: 1}}},
		{"block device", "device, fifo", []tar.Header{{Typeflag: tar.TypeBlock, Name: "./dev/sda", Devmajor: 8}}},
		{
			"write through a symlink to a directory", "not a directory",
			[]tar.Header{folder("./usr/d/"), symlink("./usr/evil", "d"), reg("./usr/evil/x", "")},
		},
		{"write over a symlink", "also in", []tar.Header{symlink("./usr/evil", "/etc/passwd"), reg("./usr/evil", "")}},
		{
			"hard link through a symlink", "no earlier file",
			[]tar.Header{symlink("./usr/evil", "/etc"), hard("./usr/x", "./usr/evil/passwd")},
		},
		{"absolute hard link", "absolute path", []tar.Header{hard("./usr/x", "/etc/passwd")}},
		{"link to itself outside", "leaves the tree", []tar.Header{symlink("./x", "..")}},
		{"fifo", "device, fifo", []tar.Header{{Typeflag: tar.TypeFifo, Name: "./run/f"}}},
		{"twice", "also in", []tar.Header{ok, ok}},
		{"merged twice", "also in", []tar.Header{ok, reg("./bin/x", "other")}},
		{"long", "too long", []tar.Header{reg("./usr/"+strings.Repeat("a/", maxPath)+"x", "")}},
		{"over the skeleton", "also in", []tar.Header{symlink("./usr/bin", "/tmp")}},
	} {
		out := filepath.Join(t.TempDir(), "out")
		err := Build(out, []string{pkg(t, "evil.deb", c.entries...)})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "evil.deb") {
			t.Errorf("%s: got %v, want evil.deb: ... %q", c.name, err, c.want)
		}
	}
}

// TestBuildRefusesASparseBomb hands over a package of 4 KiB whose only file would have 8 GiB.
func TestBuildRefusesASparseBomb(t *testing.T) {
	const size = 8 << 30
	records := ""
	for _, r := range []string{
		"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=usr/bomb",
		fmt.Sprint("GNU.sparse.realsize=", size),
	} {
		records += fmt.Sprintf("%d %s\n", len(r)+4, r) // the length counts itself, two digits, the blank and the newline
	}
	block := func(s string) string { return s + strings.Repeat("\x00", 512-len(s)) }
	header := func(name string, kind byte, size int) string {
		h := []byte(block(""))
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], fmt.Sprintf("%011o\x0000000000000\x00        ", size))
		h[156] = kind
		copy(h[257:], "ustar\x0000")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		return string(h)
	}
	archive := header("PaxHeaders/bomb", tar.TypeXHeader, len(records)) + block(records) +
		header("GNUSparseFile.0/bomb", tar.TypeReg, 512) + block(fmt.Sprintf("1\n%d\n0\n", size)) + block("") + block("")

	out := filepath.Join(t.TempDir(), "out")
	err := Build(out, []string{archived(t, "bomb.deb", []byte(archive))})
	if !errors.Is(err, deb.ErrTooBig) || !strings.Contains(err.Error(), "usr/bomb") {
		t.Errorf("Build: %v, want one that wraps ErrTooBig and names usr/bomb", err)
	}
}

func TestBuildRefusesWhatTwoPackagesDisagreeOn(t *testing.T) {
	a := pkg(t, "a.deb", symlink("./usr/lib/x", "y"))
	b := pkg(t, "b.deb", reg("./usr/lib/x/f", ""))
	for _, debs := range [][]string{{a, b}, {b, a}} {
		if err := Build(filepath.Join(t.TempDir(), "out"), debs); err == nil {
			t.Errorf("%v: no error", debs)
		}
	}
}

func TestBuildWantsANewDirectory(t *testing.T) {
	if err := Build(t.TempDir(), nil); err == nil {
		t.Error("an existing directory was taken")
	}
}
