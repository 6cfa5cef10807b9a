package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"ukl/internal/machine/qemu"
)

// quietT is a testing.T for scripts that must fail.
type quietT struct {
	log    strings.Builder
	failed bool
}

type stopped struct{}

func (q *quietT) Log(args ...any)   { fmt.Fprintln(&q.log, args...) }
func (q *quietT) Skip(args ...any)  { panic(stopped{}) }
func (q *quietT) Fatal(args ...any) { q.Log(args...); q.FailNow() }
func (q *quietT) FailNow()          { q.failed = true; panic(stopped{}) }
func (q *quietT) Parallel()         {}
func (q *quietT) Verbose() bool     { return false }
func (q *quietT) Run(_ string, f func(testscript.T)) {
	defer func() {
		if r := recover(); r != nil && r != any(stopped{}) {
			panic(r)
		}
	}()
	f(q)
}

// The verbs must be able to fail: a suite that cannot is worth nothing.
func TestHarnessCanFail(t *testing.T) {
	for name, c := range map[string]struct{ script, why string }{
		"code":      {"exits 8 ukl run --accel tcg --kernel seven", "exit code 7, not 8"},
		"good":      {"exits 0 ukl run --accel tcg --kernel seven", "exit code 7, not 0"},
		"usage":     {"exits 7", "usage: exits"},
		"negated":   {"! exits 7 ukl run --accel tcg --kernel seven", "usage: exits"},
		"unknown":   {"boots", "unknown command"},
		"condition": {"[frob] stop", "unknown condition"},
		"signal":    {"signals INT 143 ukl run --accel tcg --kernel hangs", "exit code 130, not 143"},
		"no line":   {"signals INT 130 ukl run --accel tcg --kernel seven", "no line before SIGINT"},
		"closes":    {"closes 0 ukl run --accel tcg --kernel talks", "exit code 141, not 0"},
		"conforms":  {"conforms known ukl run --accel tcg --kernel tap", "a.b failed"},
		"dies":      {"conforms known ukl run --accel tcg --kernel seven", "exit code 7, not 0 or 1"},
		"alone":     {"exec sh -c 'sleep 30 >/dev/null 2>&1 &'\nalone", "a process is left"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := scripted(t, c.script+"\n-- seven --\nlog ukl: app exited with status 7\n"+
				"-- hangs --\nout ready\nsleep 60s\n-- talks --\nflood 200\n"+
				"-- tap --\nout 1..1\nout not ok 1 - a.b\nlog ukl: app exited with status 1\n-- known --\na.c always why\n")
			if log := q.log.String(); !q.failed || !strings.Contains(log, c.why) {
				t.Errorf("failed: %v; want %q in\n%s", q.failed, c.why, log)
			}
		})
	}
}

// scripted runs a script that may fail.
func scripted(t *testing.T, text string) *quietT {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.txtar")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	q := &quietT{}
	q.Run("", func(testscript.T) {
		testscript.RunT(q, testscript.Params{
			Files: []string{file}, Cmds: verbs(new(atomic.Int64)), Condition: condition, RequireExplicitExec: true,
			Setup: func(e *testscript.Env) error {
				home(e, filepath.Join(e.WorkDir, ".cache"))
				e.Setenv(qemu.Env, "fake-qemu")
				return nil
			},
		})
	})
	return q
}
