package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/internal/app/manifest"
	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/printable"
	"ukl/internal/machine/accel"
	"ukl/internal/run/apptest"
	"ukl/internal/run/guest"
)

func (t *tool) testCommand() *cli.Command {
	return &cli.Command{
		Name:      "test",
		Usage:     "run the tests of an application, each in a guest of its own",
		UsageText: "ukl test [OPTIONS] [APP|DIR]",
		Description: `The tests are the [[test]] tables of ukl.toml. Prints one line for each test (TAP). Exits with 1 if one fails.

examples:
  ukl test
  ukl test multithreaded
  ukl test --only greets ./server`,
		Flags: slices.Concat([]cli.Flag{
			&listOfKind{testName, &cli.StringSliceFlag{Name: "only", Usage: "run the test called `NAME`; repeatable"}},
			&cli.DurationFlag{Name: "timeout", Value: apptest.Limit, Usage: "fail a test that takes longer than `TIME`"},
		}, guestFlags(), []cli.Flag{
			accelFlag(accel.Auto),
			modeFlag(),
			debugKernel(),
		}, machineFlags()),
		BashComplete: t.completes(project, nil),
		Action:       t.test,
	}
}

// tested is what `ukl test --json` prints.
type tested struct {
	App    string           `json:"app"`
	Passed int              `json:"passed"`
	Failed int              `json:"failed"`
	Tests  []apptest.Result `json:"tests"`
}

func (t *tool) test(c *cli.Context) error {
	words, err := t.words(c, 1)
	if err != nil {
		return err
	}
	a, err := findApp(words[0])
	if err != nil {
		return err
	}
	tests, err := chosen(a, c.StringSlice("only"))
	if err != nil {
		return err
	}
	o, err := t.options(c, a)
	if err != nil {
		return err
	}
	if err := t.prepare(c, a, &o); err != nil {
		return err
	}
	out := tested{App: a.Name, Tests: []apptest.Result{}}
	say := func(format string, args ...any) {
		if err == nil && !c.Bool("json") {
			_, err = fmt.Fprintln(t.stdout, printable.Line(fmt.Sprintf(format, args...)))
		}
	}
	say("1..%d", len(tests))
	for i, test := range tests {
		r, rerr := apptest.Run(c.Context, test, o, func(v guest.Verdict) []string { return t.backtrace(c, a, o, v) })
		if rerr != nil {
			return rerr
		}
		out.Tests = append(out.Tests, r)
		if r.OK {
			out.Passed++
			say("ok %d - %s # %.1f s", i+1, r.Name, r.Seconds)
			continue
		}
		out.Failed++
		say("not ok %d - %s # %.1f s", i+1, r.Name, r.Seconds)
		say("# %s", r.Reason)
		for _, line := range r.Lines {
			say("#   %s", strings.TrimSuffix(line, "\r"))
		}
	}
	if c.Bool("json") {
		err = printJSON(t.stdout, out)
	}
	switch {
	case err != nil:
		return err
	case out.Failed > 0:
		return exit.Errorf(exit.No, "%d of %d tests failed", out.Failed, len(tests))
	}
	return nil
}

// chosen are the tests of an application that have one of the names; all without names.
func chosen(a apps.App, names []string) ([]manifest.Test, error) {
	if len(a.Tests) == 0 {
		return nil, exit.Errorf(exit.NoInput, "%s has no tests", a.Name).WithHint("add a [[test]] to its ukl.toml")
	}
	var all []string
	for _, t := range a.Tests {
		all = append(all, t.Name)
	}
	for _, n := range names {
		if slices.Contains(all, n) {
			continue
		}
		err := exit.Errorf(exit.NoInput, "%s has no test %q", a.Name, n)
		if s := suggest.Nearest(n, all); s != "" {
			return nil, err.WithHint("did you mean %q?", s)
		}
		return nil, err.WithHint("its tests: %s", strings.Join(all, ", "))
	}
	return slices.DeleteFunc(slices.Clone(a.Tests),
		func(t manifest.Test) bool { return len(names) > 0 && !slices.Contains(names, t.Name) }), nil
}
