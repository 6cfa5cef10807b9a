package pins

import (
	"context"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/cli/exit"
	"ukl/internal/host/folders"
)

// SourcePackage is a source package of Debian. Resolving it finds its files.
type SourcePackage struct {
	Name, Version string
	Files         []Pin // .dsc, archives and signatures
}

// String is how messages name it.
func (s SourcePackage) String() string { return s.Name + " " + s.Version }

// NoSource says that no archive lists some source packages.
type NoSource struct {
	Packages []SourcePackage
	Tried    []string // one line a place: what it said
}

func (e *NoSource) Error() string {
	what := e.Packages[0].String()
	if n := len(e.Packages) - 1; n > 0 {
		what += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("source of %s: no archive lists it\n  %s", what, strings.Join(e.Tried, "\n  "))
}

// ExitCode is the code of a command that this ends.
func (*NoSource) ExitCode() exit.Code { return exit.Pin }

// Hint is the line that helps.
func (e *NoSource) Hint() string {
	return "Debian's mirrors keep the newest sources only, and the snapshot archive all: " + SnapshotEnv +
		" names a copy of that"
}

// ResolveSources asks the host's apt for the files of source packages: their paths, hashes and sizes, from the signed
// lists of the suite and its security archive. What a mirror has replaced since is looked for in the lists that the
// snapshot archive has of the times of locks, 20060102T150405Z. Nothing is fetched but lists, which are kept. Each file
// knows a time at which the snapshot archive has it, if a mirror lists it and does not serve it.
func ResolveSources(ctx context.Context, packages []SourcePackage, snapshots []string,
	o Options,
) ([]SourcePackage, error) {
	if len(packages) == 0 {
		return nil, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, &NoApt{err}
	}
	cache, err := folders.Cache()
	if err != nil {
		return nil, err
	}
	// What the mirrors list now was there when the newest lock was made, so the snapshot archive has it at that time.
	var newest string
	for _, snapshot := range snapshots {
		if isSnapshot(snapshot) {
			newest = max(newest, snapshot)
		}
	}
	places := []listing{{
		name:  "mirrors",
		bases: func() map[string]string { return archives(o, hostMirrors(ctx)) },
		time:  newest,
	}}
	for _, snapshot := range snapshots {
		base := o.snapshotArchive()
		if base == "" || !isSnapshot(snapshot) {
			continue
		}
		places = append(places, listing{
			name:  "snapshot-" + snapshot,
			bases: func() map[string]string { return snapshotAt(base, snapshot) },
			// It was right when the lock was made.
			options: []string{"check-valid-until=no"},
			time:    snapshot,
		})
	}
	none := &NoSource{}
	found := slices.Clone(packages)
	for i := range found {
		found[i].Files = nil
	}
	for _, place := range places {
		if !slices.ContainsFunc(found, unfound) {
			break
		}
		if err := place.resolve(ctx, filepath.Join(cache, "ukl", "apt-sources", place.name), found); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			none.Tried = append(none.Tried, fmt.Sprintf("%s: %v", place.name, err))
		}
	}
	for _, p := range found {
		if unfound(p) {
			none.Packages = append(none.Packages, p)
		}
	}
	if len(none.Packages) > 0 {
		if len(none.Tried) == 0 {
			none.Tried = []string{"they list other versions"}
		}
		return nil, none
	}
	return found, nil
}

func unfound(s SourcePackage) bool { return len(s.Files) == 0 }

// snapshotArchive is the address of the snapshot archive; "" is none that may be asked.
func (o Options) snapshotArchive() string {
	switch {
	case o.Mirror == NoMirror:
		return ""
	case o.Snapshot != "":
		return strings.TrimSuffix(o.Snapshot, "/")
	case o.NoPublic:
		return ""
	}
	return DefaultSnapshot
}

// snapshotAt are the addresses of a snapshot archive's state at a time.
func snapshotAt(base, stamp string) map[string]string {
	return map[string]string{Main: base + "/debian/" + stamp, Security: base + "/debian-security/" + stamp}
}

// listing is a place that has lists of sources.
type listing struct {
	name    string
	bases   func() map[string]string
	options []string // of its lines in sources.list
	time    string   // of a snapshot that has the files, too; "" is not known
}

// resolve fills in the files of packages that have none.
func (l listing) resolve(ctx context.Context, dir string, packages []SourcePackage) error {
	a := &apt{kind: "deb-src", dir: dir}
	if err := a.open(ctx); err != nil {
		return err
	}
	defer a.close()
	if err := a.configure(nil); err != nil {
		return err
	}
	if err := a.update(ctx, l.bases(), l.options...); err != nil {
		return err
	}
	for i, p := range packages {
		if !unfound(p) {
			continue
		}
		var err error
		if packages[i].Files, err = a.source(ctx, p, l.time); err != nil {
			return err
		}
	}
	return nil
}

// source returns the files of a source package; none if apt knows it not, or only in other versions.
func (a *apt) source(ctx context.Context, p SourcePackage, snapshot string) ([]Pin, error) {
	out, err := a.output(ctx, "apt-get", "source", "--print-uris", "--only-source", p.Name+"="+p.Version)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, nil // it has no other way to say so
	}
	files, err := a.files(string(out))
	if err != nil {
		return nil, err
	}
	_, version, epoch := strings.Cut(p.Version, ":")
	if !epoch {
		version = p.Version
	}
	var pins []Pin
	described := false
	for _, f := range files {
		name := path.Base(f.Path)
		described = described || name == p.Name+"_"+version+".dsc"
		pins = append(pins, Pin{
			Name: name, Archive: f.Archive, Path: f.Path, SHA256: f.SHA256, Size: f.Size,
			Groups: []string{"source"}, snapshot: snapshot,
		})
	}
	if !described { // apt takes another version if it lacks this one
		return nil, nil
	}
	return pins, nil
}
