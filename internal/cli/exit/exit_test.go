package exit

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestError(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("around: %w", (&Error{Code: Input, Err: cause}).WithHint("try %d", 2))
	e, ok := Of(err)
	if !ok || e.Code != 65 || e.Hint != "try 2" || !errors.Is(err, cause) {
		t.Errorf("Of = %+v, %v", e, ok)
	}
	if _, ok := Of(cause); ok {
		t.Error("Of finds a code where none is")
	}
	if Status(0) != nil {
		t.Error("Status(0) is an error")
	}
	if e, ok := Of(Status(7)); !ok || e.Code != 7 || e.Err != nil {
		t.Errorf("Status(7) = %+v", e)
	}
}

// The codes are a promise to scripts: this test is their second copy.
func TestCodes(t *testing.T) {
	for name, c := range map[string][2]int{
		"usage": {Usage, 64}, "input": {Input, 65}, "no input": {NoInput, 66}, "unavailable": {Unavailable, 69},
		"machine died": {MachineDied, 70}, "build failed": {BuildFailed, 71}, "pin": {Pin, 73},
		"timeout": {Timeout, 124}, "interrupted": {Interrupted, 130}, "signal 11": {Signalled(11), 139},
	} {
		if c[0] != c[1] {
			t.Errorf("%s = %d; want %d", name, c[0], c[1])
		}
		found := false
		for _, r := range Table() {
			found = found || r.Code == fmt.Sprint(c[1])
		}
		if !found && !strings.HasPrefix(name, "signal") {
			t.Errorf("%s is not in the table", name)
		}
	}
}
