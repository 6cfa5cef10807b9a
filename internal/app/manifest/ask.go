package manifest

import (
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
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

// Asks are those of the file, which is in a directory.
func (m *Manifest) Asks(dir string) []Ask {
	var all []Ask
	for i, v := range m.Volumes {
		use := "as a volume that it may write to"
		if v.ReadOnly {
			use = "as a volume"
		}
		if outside(dir, v.Host) {
			what := v.Host + " from outside of the application's directory, " + use
			all = append(all, Ask{m.volumes[i], what, AllowVolumes, "", v.Guest})
		}
	}
	for i, f := range m.Files {
		if outside(dir, f.Host) {
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

// outside tells whether a path, which may be relative to a directory, leads out of it, also by a link. What is not
// there is a mistake that others report.
func outside(dir, path string) bool {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	top, terr := filepath.EvalSymlinks(dir)
	if err != nil || terr != nil {
		return true
	}
	return real != top && !strings.HasPrefix(real, strings.TrimSuffix(top, "/")+"/")
}
