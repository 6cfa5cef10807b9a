package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// conforms KNOWN COMMAND ARGS... runs a command that prints TAP. Every case must pass but those that the file KNOWN
// names, each on a line of its own with its reason: `NAME always REASON' must fail, `NAME sometimes REASON' may.
func conforms(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: conforms KNOWN COMMAND ARGS...")
	}
	known, err := readKnown(ts.ReadFile(args[0]))
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if c := code(err); c != 0 && c != 1 {
		ts.Fatalf("exit code %d, not 0 or 1", c)
	}
	summary, err := judge(ts.ReadFile("stdout"), known)
	ts.Check(err)
	ts.Logf("%s", summary)
}

// failing is a case that is expected to fail.
type failing struct {
	always bool
	reason string
}

func readKnown(text string) (map[string]failing, error) {
	all := map[string]failing{}
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		if len(f) < 3 || f[1] != "always" && f[1] != "sometimes" {
			return nil, fmt.Errorf("%q: want NAME always|sometimes REASON", line)
		}
		all[f[0]] = failing{f[1] == "always", f[2]}
	}
	return all, nil
}

var tapRE = regexp.MustCompile(`(?m)^(ok|not ok) \d+ - (\S+)( # SKIP)?|^1\.\.(\d+)$`)

// judge compares a run with what is known of it.
func judge(tap string, expected map[string]failing) (string, error) {
	var wrong, failed, skipped []string
	cases, plan := 0, -1
	for _, m := range tapRE.FindAllStringSubmatch(tap, -1) {
		if m[4] != "" {
			plan, _ = strconv.Atoi(m[4]) // the pattern has digits only
			continue
		}
		cases++
		name := m[2]
		k, listed := expected[name]
		switch {
		case m[3] != "":
			skipped = append(skipped, name)
		case m[1] == "not ok" && !listed:
			wrong = append(wrong, name+" failed")
		case m[1] == "not ok":
			failed = append(failed, fmt.Sprintf("%s (%s)", name, k.reason))
		case k.always:
			wrong = append(wrong, name+" passed, and is listed as one that always fails")
		}
	}
	if cases != plan || cases == 0 {
		wrong = append(wrong, fmt.Sprintf("%d cases of %d ended", cases, plan))
	}
	if wrong != nil {
		return "", errors.New(strings.Join(wrong, "; "))
	}
	s := fmt.Sprintf("%d of %d cases passed", cases-len(failed)-len(skipped), cases)
	if failed != nil {
		s += "; known to fail: " + strings.Join(failed, ", ")
	}
	if skipped != nil {
		s += "; do not apply: " + strings.Join(skipped, ", ")
	}
	return s, nil
}

func TestJudge(t *testing.T) {
	listed, err := readKnown("# why\na.x always no #XM\nb.y sometimes slow\n")
	if err != nil {
		t.Fatal(err)
	}
	for tap, want := range map[string]string{
		"1..3\nok 1 - c.z\nnot ok 2 - a.x\nok 3 - b.y\n":       "2 of 3 cases passed; known to fail: a.x (no #XM)",
		"1..2\nnot ok 1 - a.x\nnot ok 2 - b.y\n":               "0 of 2 cases passed",
		"1..2\nok 1 - c.z # SKIP\nok 2 - d.z\n":                "1 of 2 cases passed; do not apply: c.z",
		"# ring 0\n1..1\nok 1 - c.z # 3 ms\n# 0 of 1 failed\n": "1 of 1 cases passed",
		"1..2\nnot ok 1 - c.z\nnot ok 2 - a.x\n":               "error: c.z failed",
		"1..1\nok 1 - a.x\n":                                   "error: a.x passed, and is listed",
		"1..2\nok 1 - c.z\n":                                   "error: 1 cases of 2 ended",
		"ok 1 - c.z\n":                                         "error: 1 cases of -1 ended",
		"":                                                     "error: 0 cases of -1 ended",
		"1..0\n":                                               "error: 0 cases of 0 ended",
		"1..2\nok 1 - c.z\nok 2 - d.z # SKIP\nnot ok 3 - e.z\n": "error: e.z failed; 3 cases of 2",
		"1..1\nnot ok 1 - c.z # SKIP but not ok\n":              "0 of 1 cases passed; do not apply: c.z",
	} {
		got, err := judge(tap, listed)
		if err != nil {
			got = "error: " + err.Error()
		}
		if !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s; want %s", tap, got, want)
		}
	}
	for _, bad := range []string{"a.x\n", "a.x always\n", "a.x never because\n"} {
		if _, err := readKnown(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
