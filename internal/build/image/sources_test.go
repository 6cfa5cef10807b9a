package image

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ukl/internal/app/manifest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/nix"
)

// What no build can see is named, before Nix is asked; what a build does not look at may be anything.
func TestUnbuildable(t *testing.T) {
	for _, c := range []struct {
		name, want string
		lay        func(path string) error
	}{
		{"pipe", "it is a pipe", func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		{"sub/pipe", "it is a pipe", func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		{".pipe", "", func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		{"result-pipe", "", func(p string) error { return syscall.Mkfifo(p, 0o644) }},
		{"socket", "it is a socket", func(p string) error { _, err := net.Listen("unix", p); return err }},
		{"a\nb.c", "its name holds a line break", func(p string) error { return os.WriteFile(p, nil, 0o644) }},
		{"a b.c", "", func(p string) error { return os.WriteFile(p, nil, 0o644) }},
		{"link", "", func(p string) error { return os.Symlink("/dev/zero", p) }}, // a build sees the link, not the device
	} {
		b, f, a := setup(t)
		path := filepath.Join(a.Dir, c.name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), c.lay(path)); err != nil {
			t.Fatal(err)
		}
		_, built := b.Build(t.Context(), a)
		_, asked := b.Derivation(t.Context(), a)
		for _, err := range []error{built, asked} {
			bad := (*Unbuildable)(nil)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%q: %v", c.name, err)
			case c.want != "" && (!errors.As(err, &bad) || !strings.HasSuffix(err.Error(), c.want) ||
				exit.Of(err).Code != exit.Input):
				t.Errorf("%q: %v; want %s", c.name, err, c.want)
			}
		}
		if c.want != "" && strings.Contains(strings.Join(f.calls, " "), "instantiate") {
			t.Errorf("%q: Nix was asked: %q", c.name, f.calls)
		}
	}
}

// An archive beyond its limit is a mistake of ukl.toml, at the place of [source]; other failures of the stage are not.
func TestArchiveBeyondItsLimit(t *testing.T) {
	b, f, a := setup(t)
	write(t, a.Dir, manifest.File, "name = 'app'\n[source]\nurl = 'file:///a.tar'\nsha256 = '"+strings.Repeat("0", 64)+"'\n")
	a = find(t, a.Dir)
	f.build = &nix.BuildError{Stage: "upstream-app", Code: nix.Failed, Lines: []string{
		"error: the archive of [source] unpacks to more than 256 MiB, with 4 KiB at least for each file: limit of [source] raises that",
	}}
	_, err := b.Build(t.Context(), a)
	e := exit.Of(err)
	if e.Code != exit.Input || !strings.HasSuffix(err.Error(),
		"ukl.toml:2:1: the archive of [source] unpacks to more than 256 MiB, with 4 KiB at least for each file") ||
		e.Hint != `if you trust the archive, add to [source]: limit = "8G"` {
		t.Errorf("%v, %+v", err, e)
	}
	f.build = &nix.BuildError{Stage: "upstream-app", Code: nix.Failed, Lines: []string{"error: x.patch does not apply:"}}
	if _, err := b.Build(t.Context(), a); exit.Of(err).Code != exit.BuildFailed {
		t.Error(err)
	}
}
