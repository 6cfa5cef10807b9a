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
// tools, those of its root file system, with all that these need, and its archive.
type Own struct {
	Wanted   []string
	Packages map[string]Package
	Root     Root
	Snapshot string   // as in Lock; "" in a lock of version 1
	Archive  *Archive // nil is none; it stands in ukl.toml, not in the lock
	dir      string   // of the application, if it has an archive
}

// Root are the packages of a root file system: those that are named, and all.
type Root struct {
	Wanted   []string           `json:"wanted"`
	Packages map[string]Package `json:"packages"`
}

// Wants are what an application names: packages for its build and for its root file system, and an archive.
type Wants struct {
	Packages, Root []string
	Archive        *Archive // nil is none
}

// ownDocument is the file. nixexprs/manifest.nix reads its packages.
type ownDocument struct {
	Version  int                `json:"version"`
	About    string             `json:"about"`
	Snapshot string             `json:"snapshot,omitempty"`
	Wanted   []string           `json:"wanted"`
	Packages map[string]Package `json:"packages"`
	Root     *Root              `json:"root,omitempty"`
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
func LoadOwn(files fs.FS, dir string, wants Wants) (*Own, error) {
	o := &Own{Packages: map[string]Package{}, Archive: wants.Archive}
	if o.Archive != nil {
		o.dir = dir
	}
	all := slices.Concat(wants.Packages, wants.Root)
	if len(all) == 0 {
		return o, nil
	}
	file := filepath.Join(dir, OwnFile)
	text, err := fs.ReadFile(files, OwnFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Stale{file, all[0]}
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
	if d.Root == nil {
		d.Root = &Root{}
	}
	for _, set := range []struct {
		packages       map[string]Package
		pinned, wanted []string
	}{{d.Packages, d.Wanted, wants.Packages}, {d.Root.Packages, d.Root.Wanted, wants.Root}} {
		if bad := (&Lock{Packages: set.packages}).checkEach(); bad != nil {
			return nil, find(file, text, bad.near, bad.text)
		}
		for _, w := range set.wanted {
			if !slices.Contains(set.pinned, w) {
				return nil, &Stale{file, w}
			}
		}
	}
	o.Wanted, o.Packages, o.Snapshot = d.Wanted, d.Packages, d.Snapshot
	if len(wants.Root) > 0 {
		o.Root = *d.Root
	}
	return o, nil
}

// Write replaces the lock in dir, atomically.
func (o *Own) Write(dir string) error {
	d := ownDocument{
		Version: Version, About: "Made by: ukl pins add", Snapshot: o.Snapshot,
		Wanted: append([]string{}, o.Wanted...), Packages: o.Packages,
	}
	if len(o.Root.Wanted) > 0 {
		d.Root = &o.Root
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.File(filepath.Join(dir, OwnFile), append(text, '\n'), 0o644)
}

// All is as the method of Lock.
func (o *Own) All() []Pin {
	together := maps.Clone(o.Packages)
	maps.Copy(together, o.Root.Packages)
	all := (&Lock{Packages: together, Snapshot: o.Snapshot}).All()
	if o.Archive != nil {
		p := o.Archive.pin()
		p.dir = o.dir
		all = append(all, p)
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

// ResolveOwn asks the host's apt for the newest of packages and of what they need: for the build less what the tools
// of the lock hold, for the root file system all. It fetches package lists of its own.
func ResolveOwn(ctx context.Context, l *Lock, wants Wants, o Options) (*Own, error) {
	a, err := openApt(ctx, o, nil, true)
	if err != nil {
		return nil, err
	}
	defer a.close()
	for _, w := range slices.Concat(wants.Packages, wants.Root) {
		if _, err := a.newest(ctx, []string{w}); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, &NoPackage{w, "apt finds no package of that name in Debian " + suite}
		}
	}
	own := &Own{Packages: map[string]Package{}, Snapshot: time.Now().UTC().Format(stamp)}
	for _, set := range []struct {
		wanted, without []string
		installed       []Pin
		to              *[]string
		packages        *map[string]Package
	}{
		{wants.Packages, slices.Concat(l.Trees["tools"].Packages, installed, identity), nil, &own.Wanted, &own.Packages},
		{wants.Root, nil, asInstalled(wants.Root), &own.Root.Wanted, &own.Root.Packages},
	} {
		if len(set.wanted) == 0 {
			continue
		}
		if err := a.configure(set.installed); err != nil {
			return nil, err
		}
		found, err := a.closure(ctx, set.wanted)
		if err != nil {
			return nil, err
		}
		maps.DeleteFunc(found, func(n string, _ Package) bool {
			return slices.Contains(set.without, n)
		})
		if bad := (&Lock{Packages: found}).checkEach(); bad != nil {
			return nil, errors.New(bad.text)
		}
		*set.to, *set.packages = slices.Sorted(slices.Values(set.wanted)), found
	}
	return own, nil
}

// installed are packages that only an installed, running Debian needs.
var installed = strings.Fields("adduser debconf dpkg init-system-helpers lsb-base passwd sysvinit-utils usrmerge")

// asInstalled are these packages as apt is told that it has them, whatever version is asked for: then it does not want
// what they need. Those that are wanted are not among them.
func asInstalled(wanted []string) []Pin {
	var pins []Pin
	for _, name := range installed {
		if !slices.Contains(wanted, name) {
			pins = append(pins, Pin{Name: name, Version: "999:0", Path: name + "_all.deb"})
		}
	}
	return pins
}

// identity are packages that say what system it is and who its users are, which a build does not need.
var identity = []string{"base-files", "base-passwd"}
