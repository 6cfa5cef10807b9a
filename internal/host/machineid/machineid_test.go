package machineid

import (
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

var form = regexp.MustCompile(`^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}$`)

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func guest(t *testing.T, h Host, name string) string {
	t.Helper()
	id, err := h.Guest(name)
	if err != nil || !form.MatchString(id) {
		t.Fatalf("%s: %q, %v", name, id, err)
	}
	return id
}

// An identity stays, and neither another guest nor another machine has it.
func TestGuest(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	const one, two = "0123456789abcdef0123456789abcdef", "1123456789abcdef0123456789abcdef"
	write(t, at("one"), one+"\n")
	write(t, at("two"), two+"\n")
	a, b := Host{Files: []string{at("one")}}, Host{Files: []string{at("two")}}
	ids := map[string]bool{one: true, two: true}
	for _, id := range []string{guest(t, a, "x"), guest(t, a, "y"), guest(t, b, "x")} {
		if ids[id] {
			t.Errorf("%s is there twice", id)
		}
		ids[id] = true
	}
	first := guest(t, a, "x")
	if again := guest(t, a, "x"); again != first {
		t.Errorf("%s, then %s", first, again)
	}
	if both := (Host{Files: []string{at("none"), at("one"), at("two")}}); guest(t, both, "x") != guest(t, a, "x") {
		t.Error("not of the first file that there is")
	}
}

// Where the machine has no identity, ukl makes one, once.
func TestOwn(t *testing.T) {
	for _, text := range []string{"", "uninitialized\n", "00000000000000000000000000000000\n", "0123\n"} {
		dir := t.TempDir()
		host := filepath.Join(dir, "host")
		write(t, host, text)
		h := Host{Files: []string{host}, Own: filepath.Join(dir, "data/ukl/machine-id")}
		ids := make([]string, 8)
		var all sync.WaitGroup
		for i := range ids {
			all.Go(func() { ids[i], _ = h.Guest("x") })
		}
		all.Wait()
		for _, id := range append(ids, guest(t, h, "x")) {
			if id != ids[0] || !form.MatchString(id) {
				t.Errorf("%q: %q", text, ids)
				break
			}
		}
		if left, _ := os.ReadDir(filepath.Dir(h.Own)); len(left) != 1 {
			t.Errorf("left behind: %v", left)
		}
		write(t, h.Own, "broken")
		if id := guest(t, h, "x"); id == ids[0] || id != guest(t, h, "x") {
			t.Errorf("after a broken file: %s", id)
		}
	}
	if id, err := (Host{Files: []string{"/none"}}).Guest("x"); err == nil {
		t.Errorf("of nothing: %s", id)
	}
}
