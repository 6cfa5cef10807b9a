package pins

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"

	"ukl/internal/cli/exit"
	"ukl/internal/host/ownaddress"
	"ukl/internal/host/realpath"
)

// Local says that an application's archive would come from this machine itself, which nobody has allowed.
type Local struct {
	Pin  Pin
	From string // "127.0.0.1:80, an address of this machine"
}

func (e *Local) Error() string {
	return fmt.Sprintf("%s of [source] would come from %s, and you have not allowed it", e.Pin, e.From)
}

// ExitCode is the code of a command that this ends.
func (*Local) ExitCode() exit.Code { return exit.Input }

// AllowLocal is the option that sets Options.Local.
const AllowLocal = "allow-local-source"

// Hint is the line that helps.
func (*Local) Hint() string { return "if you trust this ukl.toml: --" + AllowLocal }

// within is an error if a file is outside of the directory of the application that names it.
func (f *fetch) within(p Pin, file string) error {
	if f.o.Local {
		return nil
	}
	real, err := realpath.Of(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // which is said later
	}
	if err != nil {
		return err
	}
	if dir, err := realpath.Of(p.dir); p.dir == "" || err != nil || !realpath.Inside(dir, real) {
		return f.allowed(&Local{p, file + ", a file outside of the application's directory"})
	}
	return nil
}

// allowed is an error unless whoever is asked allows what is local, for all of this Fetch: an application has one
// archive.
func (f *fetch) allowed(l *Local) error {
	if f.o.Ask == nil || !f.o.Ask(l) {
		return l
	}
	f.o.Local = true
	return nil
}

// stranger is the client for addresses that applications name. It connects to no address of this machine, whatever name
// or redirection leads there, but for the proxy of the environment, which is the user's.
var stranger = &http.Client{Transport: guarded(http.ProxyFromEnvironment)}

func guarded(proxy func(*http.Request) (*url.URL, error)) *http.Transport {
	var own ownaddress.Table
	var proxies sync.Map
	t := transport()
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if u == nil || err != nil {
			return u, err
		}
		if a, err := netip.ParseAddr(r.URL.Hostname()); err == nil && own.Has(a) { // the proxy may be on this machine
			return nil, local(r.URL.Host)
		}
		proxies.Store(hostPort(u), true)
		return u, nil
	}
	plain := &net.Dialer{}
	careful := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if a, err := netip.ParseAddrPort(address); err != nil || own.Has(a.Addr()) {
			return local(address)
		}
		return nil
	}}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if _, ok := proxies.Load(address); ok {
			return plain.DialContext(ctx, network, address)
		}
		return careful.DialContext(ctx, network, address)
	}
	return t
}

func local(address string) error {
	return &Local{From: address + ", an address of this machine or its network link"}
}

// hostPort is where a proxy is, as the transport dials it.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
