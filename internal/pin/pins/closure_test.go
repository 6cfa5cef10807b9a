package pins

import (
	"debug/elf"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTreesAreClosed looks for programs whose libraries package lists of want.go left out. Modules that nobody loads
// may lack theirs.
func TestTreesAreClosed(t *testing.T) {
	l, _ := repositoryLock(t)
	for tree, programs := range map[string][]string{
		"tools": {"usr/bin", "usr/lib/gcc/x86_64-linux-gnu/12"},
		"qemu": {
			"usr/bin/qemu-system-x86_64", "usr/bin/qemu-system-x86_64-microvm",
			"usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so",
		},
	} {
		root := l.TreePath(tree)
		if _, err := os.Stat(root); err != nil {
			t.Logf("%s is not in the store: not looked at", root)
			continue
		}
		seen := 0
		for _, p := range programs {
			err := filepath.WalkDir(filepath.Join(root, p), func(file string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				if !d.Type().IsRegular() {
					return nil
				}
				if base := filepath.Base(file); strings.Contains(base, "gprofng") || strings.Contains(base, "-gp-") {
					return nil // the profiler is left out on purpose
				}
				missing, isELF := unresolved(root, file, map[string]bool{})
				if isELF {
					seen++
				}
				for _, m := range missing {
					t.Errorf("%s: %s needs %s", tree, strings.TrimPrefix(file, root+"/"), m)
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		if seen < 3 {
			t.Errorf("%s: %d programs", tree, seen)
		}
	}
}

// unresolved returns the libraries that file needs, itself or through others, and the tree lacks.
func unresolved(root, file string, seen map[string]bool) (missing []string, isELF bool) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	needed, _ := f.ImportedLibraries()
	for _, lib := range needed {
		if seen[lib] {
			continue
		}
		seen[lib] = true
		found := false
		for _, dir := range []string{"usr/lib/x86_64-linux-gnu", "usr/lib64", "usr/lib"} {
			path, err := filepath.EvalSymlinks(filepath.Join(root, dir, lib))
			if err == nil {
				more, _ := unresolved(root, path, seen)
				missing, found = append(missing, more...), true
				break
			}
		}
		if !found {
			missing = append(missing, lib)
		}
	}
	return missing, true
}
