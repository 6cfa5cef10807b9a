package gc

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// store is one that knows what is dead and keeps what was deleted.
type store struct {
	dead, gone []string
	alive      string // what a build has begun to use
}

func (s *store) Dead(context.Context) ([]string, error) { return s.dead, nil }

func (s *store) Invalid(_ context.Context, paths []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return !strings.HasSuffix(p, ".check") }), nil
}

func (s *store) Sizes(_ context.Context, paths []string) ([]int64, error) {
	return make([]int64, len(paths)), nil
}

func (s *store) Delete(_ context.Context, paths []string) error {
	if i := slices.Index(paths, s.alive); i >= 0 {
		s.gone = append(s.gone, paths[:i]...)
		s.dead = slices.DeleteFunc(s.dead, func(p string) bool { return slices.Contains(paths[:i+1], p) })
		return errors.New("still alive")
	}
	s.gone = append(s.gone, paths...)
	return nil
}

const at = "/nix/store/00000000000000000000000000000000-"

// derive writes a derivation into a folder that stands for the store.
func derive(t *testing.T, root, name, builder, inputs, sources string) {
	t.Helper()
	text := `Derive([("out","` + at + name + `","","")],[` + inputs + `],[` + sources + `],"s","` + builder + `",[],[])`
	if err := os.WriteFile(root+at+name+".drv", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	t.Setenv("NIX_REMOTE", "local?root="+root)
	if err := os.MkdirAll(filepath.Join(root, "nix/store"), 0o755); err != nil {
		t.Fatal(err)
	}
	derive(t, root, "image-x", at+"stage0/bin/stage0", `("`+at+`a.deb.drv",["out"]),("`+at+`foreign.drv",["out"])`,
		`"`+at+`image.sh"`)
	derive(t, root, "a.deb", "builtin:fetchurl", "", "")
	derive(t, root, "b.deb", "builtin:fetchurl", "", "") // nobody of ours needs it
	derive(t, root, "foreign", "/bin/sh", "", `"`+at+`foreign.sh"`)
	s := &store{dead: []string{
		at + "image.sh", at + "image-x", at + "image-x.drv", at + "a.deb", at + "a.deb.drv",
		at + "b.deb", at + "foreign", at + "foreign.drv", at + "foreign.sh", at + "image-y",
	}}
	found, err := Find(context.Background(), s, []string{at + "a.deb"}, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := Delete(context.Background(), s, found); err != nil {
		t.Fatal(err)
	}
	want := []string{at + "a.deb.drv", at + "image-x", at + "image-x.drv", at + "image.sh"}
	if !slices.Equal(s.gone, want) {
		t.Errorf("deleted %q\nwant    %q", s.gone, want)
	}
	// Pins go only with everything, and then even those that no derivation names any more.
	s.dead = []string{at + "a.deb", at + "c.deb", at + "b.deb"}
	found, err = Find(context.Background(), s, []string{at + "a.deb", at + "c.deb"}, true)
	if err != nil || len(found) != 2 || found[0].Path != at+"a.deb" || found[1].Path != at+"c.deb" {
		t.Errorf("Find = %v, %v", found, err)
	}
	// What is alive is not ours to find.
	s.dead = nil
	if found, err := Find(context.Background(), s, nil, false); err != nil || len(found) > 0 {
		t.Errorf("Find = %v, %v", found, err)
	}
	// A derivation of a form that is not known is somebody else's.
	if err := os.WriteFile(root+at+"new.drv", []byte("DrvWithVersion("), 0o644); err != nil {
		t.Fatal(err)
	}
	s.dead = []string{at + "new.drv"}
	if found, err := Find(context.Background(), s, nil, false); err != nil || len(found) > 0 {
		t.Errorf("Find = %v, %v", found, err)
	}
}

// A build begins to use one of the paths between the look and the deletion.
func TestDeleteBesideABuild(t *testing.T) {
	s := &store{dead: []string{at + "a", at + "b", at + "c"}, alive: at + "b"}
	found := []Path{{Path: at + "a"}, {Path: at + "b"}, {Path: at + "c"}}
	if err := Delete(context.Background(), s, found); err != nil {
		t.Error(err)
	}
	if want := []string{at + "a", at + "c"}; !slices.Equal(s.gone, want) {
		t.Errorf("deleted %q; want %q", s.gone, want)
	}
}
