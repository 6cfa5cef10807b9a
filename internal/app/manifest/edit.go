package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// errByHand says that the text is too artful to be edited here.
var errByHand = errors.New("ukl.toml cannot be edited here")

// WithPackages returns the text of a valid manifest with another list of packages, all else as it was. If the manifest
// has [root], they are those of the root file system.
func WithPackages(text string, packages []string) (string, error) {
	quoted := make([]string, len(packages))
	for i, p := range packages {
		quoted[i] = strconv.Quote(p)
	}
	entry := "packages = [" + strings.Join(quoted, ", ") + "]\n"
	lines := slices.Collect(strings.Lines(text))
	places := locate(text)
	key, before := "packages", "name"
	if _, has := places["root"]; has {
		key, before = join("root", key), "root"
	}
	switch at, there := places[key]; {
	case there:
		old := lines[at.line-1]
		if !strings.HasSuffix(strings.TrimSpace(old), "]") || strings.Contains(old, "#") {
			return "", fmt.Errorf("%w: line %d should be %s", errByHand, at.line, strings.TrimSpace(entry))
		}
		lines[at.line-1] = entry
	default:
		lines = slices.Insert(lines, places[before].line, entry) // behind the name, or at the top
		if n := places[before].line; n > 0 && !strings.HasSuffix(lines[n-1], "\n") {
			lines[n-1] += "\n"
		}
	}
	edited := strings.Join(lines, "")
	m, err := Parse([]byte(edited), Place{File: File, Base: "x"})
	if err != nil || !slices.Equal(m.listed(), packages) {
		return "", fmt.Errorf("%w: it should say %s", errByHand, strings.TrimSpace(entry))
	}
	return edited, nil
}
