package tree

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever a package holds, nothing appears outside of the tree, and no link in it leads out.
func FuzzBuild(f *testing.F) {
	f.Add("./usr/bin/x", byte(tar.TypeReg), "", "./usr/bin/y", byte(tar.TypeLink), "./usr/bin/x")
	f.Add("./usr/evil", byte(tar.TypeSymlink), "/etc", "./usr/evil/passwd", byte(tar.TypeReg), "")
	f.Add("./lib64/x", byte(tar.TypeSymlink), "../../../../lib/y", "./dev/null", byte(tar.TypeChar), "")
	f.Fuzz(func(t *testing.T, name1 string, kind1 byte, to1, name2 string, kind2 byte, to2 string) {
		entries := []tar.Header{{Name: name1, Typeflag: kind1, Linkname: to1}, {Name: name2, Typeflag: kind2, Linkname: to2}}
		for i, h := range entries {
			switch h.Typeflag {
			case tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
			default:
				return
			}
			if h.Name == "" || h.Typeflag == tar.TypeReg && strings.HasSuffix(h.Name, "/") {
				return // no writer makes it
			}
			entries[i].Mode = 0o4755
			var w strings.Builder
			if tar.NewWriter(&w).WriteHeader(&entries[i]) != nil {
				return
			}
		}
		dir := t.TempDir()
		out := filepath.Join(dir, "out")
		deb := pkg(t, "f.deb", entries...)
		if err := Build(out, []string{deb}); err != nil &&
			(strings.Count(err.Error(), "\n") > 0 || !strings.Contains(err.Error(), "f.deb: ")) {
			t.Errorf("not one sentence about the package: %v", err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) > 1 {
			t.Fatalf("beside the tree: %v, %v", list, err)
		}
		err := filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			fi, err := d.Info()
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(out, path)
			switch {
			case fi.Mode()&os.ModeSymlink != 0:
				to, err := os.Readlink(path)
				if end := filepath.Join(filepath.Dir(rel), to); filepath.IsAbs(to) || !filepath.IsLocal(end) {
					t.Errorf("%s leads to %s", rel, to)
				}
				return err
			case fi.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) != 0 || !fi.Mode().IsRegular() && !fi.IsDir():
				t.Errorf("%s is %v", rel, fi.Mode())
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
