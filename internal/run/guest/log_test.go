package guest

import (
	"errors"
	"strings"
	"testing"
)

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A log has an end, and its errors are nobody's.
func TestLossy(t *testing.T) {
	var kept strings.Builder
	l := &lossy{to: &kept, left: 5}
	for _, s := range []string{"abc", "defg", "h"} {
		if n, err := l.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("Write(%q) = %d, %v", s, n, err)
		}
	}
	if want := "abcde\nukl: more than 64 MiB of this log are not kept\n"; kept.String() != want {
		t.Errorf("kept %q, want %q", kept.String(), want)
	}
	if n, err := (&lossy{to: failing{}, left: 5}).Write([]byte("abc")); n != 3 || err != nil {
		t.Errorf("a full disk: %d, %v", n, err)
	}
}
