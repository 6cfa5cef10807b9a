package nixexprs

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// The programs that Nix builds from a part of the checkout need no package that is not in that part: see the folders in
// go-run.nix and ukl.nix. The first of them has no modules either.
func TestSourcesOfPrograms(t *testing.T) {
	for program, want := range map[string][]string{
		"ukl/nixexprs/go": {"ukl/internal/pin/toolchain", "ukl/nixexprs/go"},
		"ukl/cmd/stage0": {
			"ukl/cmd/stage0", "ukl/internal/build/sandbox", "ukl/internal/pin/deb", "ukl/internal/pin/tree",
		},
	} {
		out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range strings.Fields(string(out)) {
			if strings.HasPrefix(p, "ukl/") || program == "ukl/nixexprs/go" {
				got = append(got, p)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s is made of %q; Nix gives it %q", program, got, want)
		}
	}
}
