package pins

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
)

// OwnFile is the lock of one application's packages, beside its ukl.toml.
const OwnFile = "ukl.lock"

// Own are the pins of an application: the packages that it names and what these need, without the packages of the
// tools, and its archive.
type Own struct {
	Wanted   []string
	Packages map[string]Package
	Snapshot string   // as in Lock; "" in a lock of version 1
	Archive  *Archive // nil is none; it stands in ukl.toml, not in the lock
}

// ownDocument is the file. nixexprs/manifest.nix reads its packages.
type ownDocument struct {
	Version  int                `json:"version"`
	About    string             `json:"about"`
	Snapshot string             `json:"snapshot,omitempty"`
	Wanted   []string           `json:"wanted"`
	Packages map[string]Package `json:"packages"`
}

// Stale says that an application's lock is not about the packages that its ukl.toml names.
type Stale struct {
	File    string
	Package string
}

func (e *Stale) Error() string { return fmt.Sprintf("%s has no pin of %s", e.File, e.Package) }

// ExitCode is the code of a command that this ends.
func (*Stale) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Stale) Hint() string { return "cd " + filepath.Dir(e.File) + " && ukl pins add" }

// LoadOwn reads the lock among an application's files, which wants packages; without any there need be no lock. Dir is
// what messages call the files' directory.
func LoadOwn(files fs.FS, dir string, wanted []string, archive *Archive) (*Own, error) {
	o := &Own{Packages: map[string]Package{}, Archive: archive}
	if len(wanted) == 0 {
		return o, nil
	}
	file := filepath.Join(dir, OwnFile)
	text, err := fs.ReadFile(files, OwnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Stale{file, wanted[0]}
	}
	if err != nil {
		return nil, err
	}
	var d ownDocument
	if err := json.Unmarshal(text, &d); err != nil {
		return nil, position(file, text, 0, err)
	}
	switch d.Version {
	case Version:
		if !isSnapshot(d.Snapshot) {
			return nil, find(file, text, `"snapshot"`, fmt.Sprintf("%q is not the time of a snapshot", d.Snapshot))
		}
	case 1:
		for n, p := range d.Packages {
			p.Archive = Main
			d.Packages[n] = p
		}
	default:
		return nil, find(file, text, `"version"`,
			fmt.Sprintf("lock version %d: this ukl reads versions 1 and %d", d.Version, Version))
	}
	if bad := (&Lock{Packages: d.Packages}).checkEach(); bad != nil {
		return nil, find(file, text, bad.near, bad.text)
	}
	for _, w := range wanted {
		if !slices.Contains(d.Wanted, w) {
			return nil, &Stale{file, w}
		}
	}
	o.Wanted, o.Packages, o.Snapshot = d.Wanted, d.Packages, d.Snapshot
	return o, nil
}

// Write replaces the lock in dir, atomically.
func (o *Own) Write(dir string) error {
	text, err := json.MarshalIndent(ownDocument{Version, "Made by: ukl pins add", o.Snapshot, o.Wanted, o.Packages}, "",
		"  ")
	if err != nil {
		return err
	}
	return atomicfile.File(filepath.Join(dir, OwnFile), append(text, '\n'), 0o644)
}

// All is as the method of Lock.
func (o *Own) All() []Pin {
	all := (&Lock{Packages: o.Packages, Snapshot: o.Snapshot}).All()
	if o.Archive != nil {
		all = append(all, o.Archive.pin())
	}
	return all
}

// InPlan is as the method of Lock.
func (o *Own) InPlan(drvs []string) []Pin { return inPlan(o.All(), drvs) }

// NoPackage says that apt cannot have a package.
type NoPackage struct{ Name, Reason string }

func (e *NoPackage) Error() string { return fmt.Sprintf("package %s: %s", e.Name, e.Reason) }

// ExitCode is the code of a command that this ends.
func (*NoPackage) ExitCode() exit.Code { return exit.NoInput }

// ResolveOwn asks the host's apt for the newest of packages and of what they need, less what the tools of the lock
// hold. It fetches package lists of its own.
func ResolveOwn(ctx context.Context, l *Lock, wanted []string, o Options) (*Own, error) {
	a, err := openApt(ctx, o, nil, true)
	if err != nil {
		return nil, err
	}
	defer a.close()
	for _, w := range wanted {
		if _, err := a.newest(ctx, []string{w}); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &NoPackage{w, "apt finds no package of that name in Debian " + suite}
		}
	}
	found, err := a.closure(ctx, wanted)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(found, func(n string, _ Package) bool {
		return slices.Contains(l.Trees["tools"].Packages, n) || slices.Contains(installed, n)
	})
	own := &Own{
		Wanted: slices.Sorted(slices.Values(wanted)), Packages: found, Snapshot: time.Now().UTC().Format(stamp),
	}
	if bad := (&Lock{Packages: found}).checkEach(); bad != nil {
		return nil, errors.New(bad.text)
	}
	return own, nil
}

// installed are packages that only an installed, running Debian needs.
var installed = strings.Fields("adduser base-files base-passwd debconf dpkg init-system-helpers lsb-base passwd " +
	"sysvinit-utils usrmerge")
