package inuse

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func hold(t *testing.T, dir, folder string) (others bool, done func()) {
	t.Helper()
	others, done, err := Hold(dir, folder)
	if err != nil {
		t.Fatal(err)
	}
	return others, done
}

func TestHold(t *testing.T) {
	dir, other, folder := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "notes")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	first, done1 := hold(t, dir, folder)
	second, done2 := hold(t, link, folder)
	third, done3 := hold(t, other, folder)
	if first || !second || third {
		t.Errorf("others = %t, %t, of another directory %t; want false, true, false", first, second, third)
	}
	done1()
	again, done4 := hold(t, dir, folder)
	if !again {
		t.Error("others = false although the second is there")
	}
	done2()
	done3()
	done4()
	if last, done := hold(t, dir, folder); last {
		t.Error("others = true although all are gone")
	} else {
		done()
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// Of many at once one sees nobody, and only one if all of them stay.
func TestHoldAtOnce(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	for range 50 {
		var all sync.WaitGroup
		var alone atomic.Int32
		dones := make(chan func(), 8)
		for range cap(dones) {
			all.Go(func() {
				others, done, err := Hold(dir, folder)
				if err != nil {
					t.Error(err)
					return
				}
				if !others {
					alone.Add(1)
				}
				dones <- done
			})
		}
		all.Wait()
		close(dones)
		for done := range dones {
			done()
		}
		if n := alone.Load(); n > 1 {
			t.Fatalf("%d of 8 saw nobody; want at most one", n)
		}
	}
}

func TestHoldNothing(t *testing.T) {
	if _, _, err := Hold(filepath.Join(t.TempDir(), "none"), t.TempDir()); !os.IsNotExist(err) {
		t.Errorf("err = %v; want that there is none", err)
	}
}
