package manifest

import (
	"reflect"
	"slices"
	"testing"
)

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

// An edited manifest has the packages, and nothing else has changed; or it is left alone.
func FuzzWithPackages(f *testing.F) {
	f.Add("name = \"x\"\npackages = [\"a\"]\n", "libz")
	f.Add("packages = [\n]\n[env]\nA = \"b\"", "g++")
	f.Add("name = 'x'", "\n")
	f.Fuzz(func(t *testing.T, text, name string) {
		before, err := Parse([]byte(text), Place{File: File, Base: "x"})
		if err != nil {
			return
		}
		edited, err := WithPackages(text, []string{name})
		if err != nil {
			return
		}
		after, err := Parse([]byte(edited), Place{File: File, Base: "x"})
		if err != nil || !slices.Equal(after.Packages, []string{name}) {
			t.Fatalf("%q became %q: %v", text, edited, err)
		}
		after.Packages = before.Packages
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%q became %q", text, edited)
		}
	})
}
