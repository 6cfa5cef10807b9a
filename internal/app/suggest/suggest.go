// Package suggest finds the word that somebody meant.
package suggest

import (
	"strings"

	"github.com/xrash/smetrics"
)

// Nearest returns the candidate that is at most a few keystrokes away from word, or of which word is the beginning; ""
// if there is none. Of several the nearest wins, then the first.
func Nearest(word string, candidates []string) string {
	limit := min(2, len([]rune(word))/2)
	best, at := "", limit+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < at {
			best, at = c, d
		}
	}
	if best == "" && len(word) >= 3 {
		for _, c := range candidates {
			if strings.HasPrefix(c, word) {
				return c
			}
		}
	}
	return best
}

// distance counts the insertions, deletions and replacements of bytes that make b out of a. One swap of neighbours
// counts as one, too, which the library does not know.
func distance(a, b string) int {
	best := smetrics.WagnerFischer(a, b, 1, 1, 1)
	for i := range len(a) - 1 {
		swapped := a[:i] + a[i+1:i+2] + a[i:i+1] + a[i+2:]
		best = min(best, 1+smetrics.WagnerFischer(swapped, b, 1, 1, 1))
	}
	return best
}
