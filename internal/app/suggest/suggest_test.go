package suggest

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"run", "build", "multithreaded", "singlethreaded", "printing", "memory"}
	for _, c := range []struct{ word, want string }{
		{"rnu", "run"},
		{"biuld", "build"},
		{"memroy", "memory"},
		{"MEMORY", "memory"},
		{"multithraeded", "multithreaded"},
		{"multi", "multithreaded"}, // a beginning
		{"print", "printing"},
		{"frobnicate", ""},
		{"x", ""},
		{"", ""},
		{"in", ""}, // two letters do not become five
	} {
		if got := Nearest(c.word, words); got != c.want {
			t.Errorf("Nearest(%q) = %q; want %q", c.word, got, c.want)
		}
	}
	if got := Nearest("run", nil); got != "" {
		t.Errorf("Nearest without candidates = %q", got)
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"abc", "acb", 1}, {"abc", "abd", 1}, {"kitten", "sitting", 3}, {"abcd", "abdx", 2}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d; want %d", c.a, c.b, got, c.want)
		}
		if got := distance(c.b, c.a); got != c.want {
			t.Errorf("distance(%q, %q) = %d; want %d", c.b, c.a, got, c.want)
		}
	}
}
