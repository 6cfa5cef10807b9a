package manifest

import "testing"

func TestWithPackages(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "packages = [\"aa\", \"bb\"]\n"},
		{"# words\n[env]\nA = 'b'\n", "packages = [\"aa\", \"bb\"]\n# words\n[env]\nA = 'b'\n"},
		{"cpus = 1\nname = 'x'", "cpus = 1\nname = 'x'\npackages = [\"aa\", \"bb\"]\n"},
		{"name = 'x'\npackages = [ 'zz' ]\ncpus = 2\n", "name = 'x'\npackages = [\"aa\", \"bb\"]\ncpus = 2\n"},
		{"packages = [\n 'zz',\n]\n", ""},
		{"packages = ['zz'] # [why]\n", ""},
	} {
		got, err := WithPackages(c.text, []string{"aa", "bb"})
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("WithPackages(%q) = %q, %v; want %q", c.text, got, err, c.want)
		}
	}
}
