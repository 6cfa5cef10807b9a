package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/apps"
	"ukl/nixexprs"
)

func (t *tool) listCommand() *cli.Command {
	return &cli.Command{
		Name:      "list",
		Usage:     "list the applications that come with ukl",
		UsageText: "ukl list [--json]",
		Action:    t.list,
	}
}

// listed is an application in `ukl list --json`.
type listed struct {
	Name    string   `json:"name"`
	Aliases []string `json:"aliases"`
	Summary string   `json:"summary"`
	Ports   []string `json:"ports"`
	Memory  int      `json:"memoryMiB"`
}

func (t *tool) list(c *cli.Context) error {
	if _, err := t.words(c, 0); err != nil {
		return err
	}
	all, err := apps.New(nixexprs.FS).List()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		out := []listed{}
		for _, a := range all {
			l := listed{a.Short, append([]string{}, a.Aliases...), a.Summary, []string{}, a.Memory}
			for _, p := range a.Ports {
				l.Ports = append(l.Ports, p.String())
			}
			out = append(out, l)
		}
		return printJSON(t.stdout, out)
	}
	w := tabwriter.NewWriter(t.stdout, 0, 0, 3, ' ', 0)
	for _, a := range all {
		fmt.Fprintf(w, "%s\t%s\n", a.Short, a.Summary)
	}
	return w.Flush()
}
