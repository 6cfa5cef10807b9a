package manifest

// Ask is something of the host that the file wants for the guest, and that a file alone does not get: whoever has
// written it may be somebody else than who runs it.
type Ask struct {
	Place  Error  // without a text
	What   string // "the services of this machine"
	Option string // that allows it
}

// AllowHost is the option that lets a guest reach the host's own services.
const AllowHost = "allow-host"

// Asks are those of the file.
func (m *Manifest) Asks() []Ask {
	var all []Ask
	if m.Host {
		all = append(all, Ask{m.host, "the services of this machine, at 10.0.2.2 and 127.0.0.1", AllowHost})
	}
	return all
}

// Refuse is the error for what the file asks for and does not get.
func (a Ask) Refuse() Errors {
	e := a.Place
	e.Text = "the guest shall get " + a.What + ", and you have not allowed it"
	e.Hint = "if you trust this ukl.toml: --" + a.Option
	return Errors{&e}
}
