package worktree

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ukl/internal/kernel/series"
)

func TestExcuse(t *testing.T) {
	exceptions := []Exception{{"*", "MISSING_SIGN_OFF", "x"}, {"x86: A", "SPACING", "x"}, {"x86: B", "BIT_MACRO", "x"}}
	f := Finding{}
	excuse(&f, "x86: A", []remark{{"SPACING", "line 1"}, {"SPACING", "line 2"}, {"MISSING_SIGN_OFF", "line 3"}},
		exceptions)
	if len(f.Problems) != 0 || !slices.Equal(f.Excused, []string{"MISSING_SIGN_OFF", "SPACING"}) {
		t.Errorf("all excused: %+v", f)
	}
	f = Finding{}
	excuse(&f, "x86: B", []remark{{"SPACING", "line 1: SPACING: space"}, {"MISSING_SIGN_OFF", "line 3"}}, exceptions)
	if len(f.Problems) != 2 || f.Problems[0] != "checkpatch: line 1: SPACING: space" ||
		!strings.Contains(f.Problems[1], "no longer says BIT_MACRO") {
		t.Errorf("another patch's exception, and one that nothing needs: %+v", f)
	}
}

func TestRemark(t *testing.T) {
	m := remarkRE.FindStringSubmatch("/build/patches/0005-x86-a.patch:31: CHECK:MACRO_ARG_REUSE: Macro argument reuse 'g' - possible side-effects?")
	if m == nil || m[1] != "0005-x86-a.patch" || m[2] != "31" || m[3] != "MACRO_ARG_REUSE" {
		t.Errorf("%q", m)
	}
	if remarkRE.MatchString("Can't open perl script") {
		t.Error("this is no remark")
	}
}

// Each exception is of a patch that there is, and has a reason.
func TestExceptions(t *testing.T) {
	list, err := Exceptions()
	if err != nil || len(list) == 0 {
		t.Fatalf("%d exceptions, %v", len(list), err)
	}
	seen := map[[2]string]bool{}
	for _, e := range list {
		if key := [2]string{e.Patch, e.Type}; seen[key] || e.Patch == "" || e.Type == "" || len(e.Why) < 20 {
			t.Errorf("%+v: twice, or without a reason", e)
		} else {
			seen[key] = true
		}
	}
}

func TestCurrent(t *testing.T) {
	name, sum, err := Source()
	if err != nil || !strings.HasPrefix(name, "linux-source-6.1 ") || len(sum) != 64 {
		t.Fatalf("%q, %q, %v", name, sum, err)
	}
	if err := Current(&series.Tree{Origin: series.Origin{SHA256: sum}}); err != nil {
		t.Error(err)
	}
	var stale *Stale
	if err := Current(&series.Tree{Dir: "/w", Origin: series.Origin{Source: "old 1", SHA256: "x"}}); !errors.As(err,
		&stale) || err.Error() != "/w has the source old 1, and the pinned one is "+name {
		t.Errorf("%v", err)
	}
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var busy *Busy
	if _, err := lock(dir); !errors.As(err, &busy) {
		t.Errorf("locked twice: %v", err)
	}
	unlock()
	if unlock, err = lock(dir); err != nil {
		t.Error(err)
	}
	unlock()
}

func TestPlace(t *testing.T) {
	tree := &series.Tree{Git: "/w/.git"}
	if got := place(tree, ""); got != "/w/.git/ukl/plain" {
		t.Error(got)
	}
	if a, b := place(tree, "CONFIG_A=y"), place(tree, "CONFIG_B=y"); a == b || a == place(tree, "") {
		t.Errorf("%s, %s", a, b)
	}
}
