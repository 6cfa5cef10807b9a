package manifest

import (
	"cmp"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ukl/internal/host/printable"
	"ukl/internal/host/realpath"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
)

// Ask is something of the host that the file wants for the guest, and that a file alone does not get: whoever has
// written it may be somebody else than who runs it.
type Ask struct {
	Place  Error  // without a text
	What   string // "the services of this machine"
	Option string // that allows it
	Value  string // of that option; "" is none
	Volume string // the place of a volume in the guest; "" is none
}

// Options that allow something for all: the host's own services, what is outside of the manifest's directory, and ports
// of addresses that other machines reach.
const (
	AllowHost    = "allow-host"
	AllowVolumes = "allow-volumes"
	AllowPorts   = "port"
)

// Lent are the paths of the host that the file lends, as realpath.Of has them; "" is one that is not there. They are
// looked at once: what is asked for and what the guest gets are the same then.
type Lent struct {
	Dir            string // of the file
	Volumes, Files []string

	File         string   // where the file is
	Repositories []string // the .git of Dir, of the directories above it, and of those that are volumes
}

// repository is what git calls the directory with its configuration, which may name programs that git runs, or the file
// or link that leads to it.
const repository = ".git"

// Lend looks at the paths that the file lends, which may be relative to its directory.
func (m *Manifest) Lend(dir string) Lent {
	l := Lent{Dir: realOf(dir), File: realOf(filepath.Join(dir, File))}
	look := func(dir string) {
		git := filepath.Join(dir, repository)
		if _, err := os.Lstat(git); err == nil {
			l.Repositories = append(l.Repositories, cmp.Or(realOf(git), git))
		}
	}
	for up := l.Dir; ; up = filepath.Dir(up) {
		if look(up); up == filepath.Dir(up) {
			break
		}
	}
	for _, v := range m.Volumes {
		real := realOf(Below(dir, v.Host))
		if l.Volumes = append(l.Volumes, real); real != "" {
			look(real)
		}
	}
	for _, f := range m.Files {
		l.Files = append(l.Files, realOf(Below(dir, f.Host)))
	}
	return l
}

// Below is a path that may be relative to a directory.
func Below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// realOf is the path without links; "" if there is nothing. Where it cannot be found out, the path stays: it cannot be
// opened then.
func realOf(path string) string {
	real, err := realpath.Of(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return path
	}
	return real
}

// Asks are those of the file.
func (m *Manifest) Asks(lent Lent) []Ask {
	var all []Ask
	outside := func(path string) bool { return path != "" && !realpath.Inside(lent.Dir, path) }
	for i, v := range m.Volumes {
		real := lent.Volumes[i]
		what, held := called(v.Host, real, lent.Dir), m.holds(v, real, lent)
		if real == lent.Dir {
			what = "the application's own directory"
		}
		switch {
		case outside(real):
			what += " from outside of the application's directory"
		case held != "":
			what += ", " + held
		case !v.Trusted:
			continue
		}
		all = append(all, Ask{m.volumes[i], what + ", " + use(v), AllowVolumes, "", v.Guest})
	}
	for i, f := range m.Files {
		if outside(lent.Files[i]) {
			what := "a copy of " + called(f.Host, lent.Files[i], lent.Dir) + " from outside of the application's directory"
			all = append(all, Ask{m.files[i], what, AllowVolumes, "", ""})
		}
	}
	if m.Host {
		what := "the services of this machine, at 10.0.2.2 and 127.0.0.1"
		all = append(all, Ask{m.host, what, AllowHost, "", ""})
	}
	for i, f := range m.Ports {
		if ip := net.ParseIP(f.Addr); !ip.IsLoopback() {
			what := "port " + f.HostPort() + " of this machine, which other machines may reach"
			all = append(all, Ask{m.ports[i], what, AllowPorts, f.String(), ""})
		}
	}
	return all
}

// use is what the guest may do with a volume.
func use(v qemu.Volume) string {
	may := "as a volume that it may write to"
	if v.ReadOnly {
		may = "as a volume"
	}
	if v.Trusted {
		may += ", where it sets owners and set-user-id bits"
	}
	return may
}

// longestCalled is how much of a path's name in the file a question shows, in runes: its place is shown, too.
const longestCalled = 60

// called is a path without links, and what the file calls it if that is something else.
func called(host, real, dir string) string {
	if real == "" {
		return strconv.Quote(host)
	}
	short := real
	if rel, err := filepath.Rel(dir, real); err == nil && realpath.Inside(dir, real) {
		short = rel
	}
	if clean := filepath.Clean(host); clean == real || clean == short {
		return printable.Line(short)
	}
	if r := []rune(host); len(r) > longestCalled {
		host = string(r[:longestCalled]) + "..."
	}
	return printable.Line(short) + " (which ukl.toml calls " + strconv.Quote(host) + ")"
}

// holds says what the guest could change in a volume, at a path without links, that this machine runs or builds next;
// "" is nothing.
func (m *Manifest) holds(v qemu.Volume, real string, lent Lent) string {
	within := func(path string) bool { return path != "" && realpath.Inside(real, path) }
	meets := func(git string) bool { return within(git) || realpath.Inside(git, real) }
	switch {
	case real == "" || v.ReadOnly:
		return ""
	case within(lent.File) || within(filepath.Join(lent.Dir, File)):
		return "with its " + File
	case slices.ContainsFunc(lent.Repositories, meets):
		return "with the configuration of a git repository"
	}
	rel, err := filepath.Rel(lent.Dir, real)
	if err == nil && filepath.IsLocal(rel) && m.builds(rel) {
		return "of which the application is built"
	}
	return ""
}

// hidden are the names of a directory that no build sees, the same as in nixexprs/app-source.nix.
func hidden(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "result") || name == File || name == pins.OwnFile
}

// builds tells whether a place in the manifest's directory may hold what the application is made of: all that the
// commands of a build see, or else what the file names.
func (m *Manifest) builds(place string) bool {
	parts := strings.Split(place, "/")
	if len(m.Build) > 0 {
		return !slices.ContainsFunc(parts, hidden)
	}
	named := slices.Concat(m.Sources, m.Include, m.Patches)
	if m.Prebuilt != "" {
		named = append(named, m.Prebuilt)
	}
	return slices.ContainsFunc(named, func(pattern string) bool { return wanted(pattern) && concerns(pattern, parts) })
}

// concerns tells whether a pattern may fit a place, something in it, or what it is in.
func concerns(pattern string, place []string) bool {
	names := strings.Split(filepath.Clean(pattern), "/")
	if names[0] == "." { // all of the directory, which has the file, too
		return false
	}
	for i := range min(len(names), len(place)) {
		if fits, err := filepath.Match(names[i], place[i]); err == nil && !fits {
			return false
		}
	}
	return true
}

// Refuse is the error for what the file asks for and does not get.
func (a Ask) Refuse() Errors {
	e := a.Place
	e.Text = "the guest shall get " + a.What + ", and you have not allowed it"
	e.Hint = "if you trust this ukl.toml: --" + a.Option
	if a.Value != "" {
		e.Hint += " " + a.Value
	}
	return Errors{&e}
}
