package pins

import (
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

func TestLoadOwn(t *testing.T) {
	lock := `{"version": 1, "wanted": ["libx-dev"], "packages": {}}`
	files := fstest.MapFS{OwnFile: {Data: []byte(lock)}}
	if o, err := LoadOwn(files, "/a", []string{"libx-dev"}, nil); err != nil || len(o.Wanted) != 1 {
		t.Errorf("%v %v", o, err)
	}
	if _, err := LoadOwn(nil, "", nil, nil); err != nil {
		t.Errorf("an application without packages needs no lock: %v", err)
	}
	for name, without := range map[string]fs.FS{"no lock": fstest.MapFS{}, "another package": files} {
		var stale *Stale
		if _, err := LoadOwn(without, "/a", []string{"liby-dev"}, nil); !errors.As(err, &stale) || err.Error() != "/a/ukl.lock has no pin of liby-dev" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
