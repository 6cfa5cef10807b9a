package manifest

import (
	"errors"
	"io/fs"
	"net"
	"path/filepath"

	"ukl/internal/host/realpath"
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
}

// Lend looks at the paths that the file lends, which may be relative to its directory.
func (m *Manifest) Lend(dir string) Lent {
	l := Lent{Dir: realOf(dir)}
	for _, v := range m.Volumes {
		l.Volumes = append(l.Volumes, realOf(Below(dir, v.Host)))
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
		use := "as a volume that it may write to"
		if v.ReadOnly {
			use = "as a volume"
		}
		if outside(lent.Volumes[i]) {
			what := v.Host + " from outside of the application's directory, " + use
			all = append(all, Ask{m.volumes[i], what, AllowVolumes, "", v.Guest})
		}
	}
	for i, f := range m.Files {
		if outside(lent.Files[i]) {
			what := "a copy of " + f.Host + " from outside of the application's directory"
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
