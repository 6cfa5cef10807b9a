package superblock

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// extImage has the features of three sets, and blocks of 1024 << size bytes.
func extImage(size, compatible, incompatible, unwritable uint32) []byte {
	b := make([]byte, 4096)
	sb := b[extAt:]
	binary.LittleEndian.PutUint16(sb[56:], extMagic)
	for at, v := range map[int]uint32{24: size, 92: compatible, 96: incompatible, 100: unwritable} {
		binary.LittleEndian.PutUint32(sb[at:], v)
	}
	return b
}

func magic(at int, s string) []byte {
	return append(make([]byte, at), s+strings.Repeat("\x00", 600)...)
}

func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		image    []byte
		readOnly bool
		want     string
		needs    int
	}{
		"ext2":        {image: extImage(0, 0x38, 0x2, 0x3), want: "ext2"},
		"ext3, clean": {image: extImage(2, 0x3c, 0x2, 0x3), want: "ext2"},
		"ext3 after a crash": {
			image: extImage(2, 0x3c, 0x6, 0x3), readOnly: true, want: "ext4 with needs_recovery",
			needs: 1,
		},
		"ext4": {
			image: extImage(2, 0x3c, 0x2c2, 0x46b),
			want:  "ext4 with extents, 64bit, flex_bg, huge_file, dir_nlink, extra_isize, metadata_csum", needs: 1,
		},
		"ext2 with checksums":   {image: extImage(0, 0x38, 0x2, 0x403), want: "ext4 with metadata_csum", needs: 1},
		"the same, only read":   {image: extImage(0, 0x38, 0x2, 0x403), readOnly: true, want: "ext2"},
		"a feature of tomorrow": {image: extImage(0, 0, 0x40000002, 0), want: "ext4 with feature 0x40000000", needs: 1},
		"squashfs":              {image: magic(0, "hsqs"), want: "squashfs", needs: 2},
		"xfs":                   {image: magic(0, "XFSB"), want: "xfs", needs: 1},
		"erofs":                 {image: magic(1024, "\xe2\xe1\xf5\xe0"), want: "erofs", needs: 2},
		"iso9660":               {image: magic(32769, "CD001"), want: "iso9660", needs: 1},
		"btrfs":                 {image: magic(65600, "_BHRfS_M"), want: "btrfs", needs: 1},
		"vfat":                  {image: magic(82, "FAT32   "), want: "vfat", needs: 4},
	} {
		f, err := Look(bytes.NewReader(c.image), c.readOnly)
		if err != nil || f.String() != c.want || len(f.Needs) != c.needs {
			t.Errorf("%s: %q needs %q, %v; want %q and %d", name, f, f.Needs, err, c.want, c.needs)
		}
	}
	for want, image := range map[string][]byte{
		"it is empty: it has no file system":                                 make([]byte, 4096),
		"it holds no file system that ukl knows":                             []byte("hello"),
		"it is a qcow2 image, and ukl needs a raw one":                       magic(0, "QFI\xfb\x00\x00\x00\x03"),
		"it has partitions, and ukl needs a file system without partitions":  magic(510, "\x55\xaa"),
		"its blocks are larger than the 4096 bytes of a page (2^16)":         extImage(6, 0, 2, 0),
		"its blocks are larger than the 4096 bytes of a page (2^4294967305)": extImage(0xffffffff, 0, 2, 0),
	} {
		f, err := Look(bytes.NewReader(image), false)
		var unknown *Unknown
		if !errors.As(err, &unknown) || unknown.Hint() == "" || err.Error() != want {
			t.Errorf("%q, %v; want %s", f, err, want)
		}
	}
	if f, err := Look(bytes.NewReader(nil), false); err == nil {
		t.Errorf("nothing is %q", f)
	}
	if f, err := Look(broken{}, false); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("what cannot be read is %q, %v", f, err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }

func TestMissing(t *testing.T) {
	f := FileSystem{Type: "squashfs", Needs: []string{"CONFIG_A=y", "CONFIG_B=y"}}
	if got := f.Missing([]string{"CONFIG_B=y", "CONFIG_C=y"}); !slices.Equal(got, []string{"CONFIG_A=y"}) {
		t.Errorf("missing are %q", got)
	}
	if got := f.Missing(f.Needs); len(got) > 0 {
		t.Errorf("missing are %q", got)
	}
}

func FuzzLook(f *testing.F) {
	f.Add(extImage(0, 0x38, 0x2c2, 0x46b))
	f.Add(magic(0, "hsqs"))
	f.Fuzz(func(t *testing.T, image []byte) {
		found, err := Look(bytes.NewReader(image), false)
		if (err == nil) != (found.Type != "") {
			t.Errorf("%q, %v", found.Type, err)
		}
	})
}
