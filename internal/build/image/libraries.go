package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ukl/internal/app/apps"
	"ukl/internal/app/program"
	"ukl/internal/cli/exit"
)

// Libraries are what a dynamic program needs beside itself.
type Libraries struct {
	Root    string   // a part of a root file system, with the loader and the libraries; "" is none
	Missing []string // what none of the program's packages has
	Refused string   // why the loader does not take the program all the same; "" is no reason
}

// Libraries returns those of an application's program, from the packages that it was built with. A static program has
// none.
func (b *Builder) Libraries(ctx context.Context, a apps.App) (Libraries, error) {
	var l Libraries
	if a.Program != "" && !program.Dynamic(a.Program) || a.Program == "" && a.Result == "" {
		return l, nil
	}
	stage, err := b.file(ctx, a, ".", attrApp)
	if err != nil {
		return l, err
	}
	if root := filepath.Join(stage, "root"); exists(root) {
		l.Root = root
	}
	text, err := os.ReadFile(filepath.Join(stage, "missing"))
	if err == nil {
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSuffix(line, "\n")
			if why, refused := strings.CutPrefix(line, "! "); refused {
				l.Refused = why
			} else {
				l.Missing = append(l.Missing, line)
			}
		}
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return l, err
}

// Lacking is a dynamic program whose packages do not have all its libraries.
type Lacking struct {
	App     string
	Missing []string
	Refused string // by the loader; "" if only something is missing
	// Static says how to link the program otherwise.
	Static string
	// Described tells that the application has a ukl.toml, where more packages can be named.
	Described bool
}

func (e *Lacking) Error() string {
	if e.Refused != "" {
		return fmt.Sprintf("%s: a dynamic program, which its loader refuses: %s", e.App, e.Refused)
	}
	return fmt.Sprintf("%s: a dynamic program: none of the pinned packages has %s", e.App, strings.Join(e.Missing, ", "))
}

// ExitCode is the code of a command that this ends.
func (*Lacking) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Lacking) Hint() string {
	place := "a ukl.toml with prebuilt and packages"
	if e.Described {
		place = "packages in ukl.toml"
	}
	return "run it with the libraries of this machine: --volume /:/:ro; or name their Debian packages: " + place + "; or " +
		e.Static
}
