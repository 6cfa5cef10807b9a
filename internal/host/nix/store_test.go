package nix

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"ukl/internal/host/distribution"
)

func TestPhysical(t *testing.T) {
	t.Setenv("NIX_REMOTE", "local?root=/tmp/x&y=z")
	if got := Physical("/nix/store/a"); got != "/tmp/x/nix/store/a" {
		t.Error(got)
	}
	for _, remote := range []string{"daemon", "auto", ""} {
		t.Setenv("NIX_REMOTE", remote)
		_, err := os.Lstat(stateDir)
		if got := Physical("/nix/store/a"); (os.Getuid() == 0 || !errors.Is(err, fs.ErrNotExist)) && got != "/nix/store/a" {
			t.Errorf("NIX_REMOTE=%s: %s", remote, got)
		}
	}
}

// A store that NIX_REMOTE names and Nix cannot use is nobody's failed build; without NIX_REMOTE it is that of another
// command.
func TestStoreElsewhere(t *testing.T) {
	for _, text := range []string{
		"error: don't know how to open Nix store 'nonsense'",
		"error: operation 'addTextToStore' is not supported by store 'nonsense'",
	} {
		t.Setenv("NIX_REMOTE", "nonsense")
		err := failure(exec.Command("nix-store"), errors.New("exit"), text)
		var none *NoStore
		if !errors.As(err, &none) || err.Error() != "NIX_REMOTE=nonsense does not name a store in which Nix can build" ||
			none.Hint() != "unset NIX_REMOTE" {
			t.Errorf("%q: %v", text, err)
		}
		for _, other := range []string{"", "local?root=/x"} {
			t.Setenv("NIX_REMOTE", other)
			if err := failure(exec.Command("nix-store"), errors.New("exit"), text); errors.As(err, &none) {
				t.Errorf("%q with NIX_REMOTE=%s: %v", text, other, err)
			}
		}
	}
}

// The words are those of Nix 2.8, 2.26 and 2.34 for a user whom the store does not belong to.
func TestNoStore(t *testing.T) {
	t.Setenv("HOME", "/h")
	t.Setenv("XDG_DATA_HOME", "")
	for _, c := range []struct{ text, want, hint string }{
		{
			"error: opening lock file '/nix/var/nix/db/big-lock': Permission denied", "cannot write to Nix's store",
			"'local?root=/h/.local/share/nix/root'",
		},
		{
			"error:\n       … This command may have been run as non-root in a single-user Nix installation,\n\n" +
				"       error: opening lock file \"/nix/var/nix/db/big-lock\": Permission denied", "cannot write to Nix's store",
			"export NIX_REMOTE=",
		},
		{
			"error: could not set permissions on '/nix/var/nix/profiles/per-user' to 755: Operation not permitted",
			"cannot write to Nix's store", "export NIX_REMOTE=",
		},
		{"error: creating directory '/nix': Permission denied", "cannot write to Nix's store", "export NIX_REMOTE="},
		{
			"error: getting status of /nix/var/nix/daemon-socket/socket: Permission denied", "does not serve this user",
			"usermod -aG ",
		},
		{
			"error: getting status of \"/nix/var/nix/daemon-socket/socket\": Permission denied", "does not serve this user",
			"log in again",
		},
		{
			"error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': No such file or directory", "does not run",
			"systemctl start nix-daemon",
		},
	} {
		err := failure(exec.Command("nix-store"), errors.New("exit"), c.text)
		var none *NoStore
		if !errors.As(err, &none) {
			t.Errorf("%q: %T %v", c.text, err, err)
			continue
		}
		if !strings.Contains(none.Error(), c.want) || !strings.Contains(none.Hint(), c.hint) ||
			!strings.Contains(c.text, none.Details()[0]) {
			t.Errorf("%q: %v; hint %s; lines %q", c.text, none, none.Hint(), none.Details())
		}
	}
	for _, text := range []string{
		"error: opening file '/home/me/x.nix': Permission denied",
		"error: creating directory '/nixos': Permission denied",
		"error: path '/nix/store/x' is not valid",
	} {
		if err := failure(exec.Command("nix-store"), errors.New("exit"), text); errors.As(err, new(*NoStore)) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestInstallHint(t *testing.T) {
	for family, want := range map[distribution.Family]string{
		distribution.Debian: "apt-get install nix-bin",
		distribution.Fedora: "dnf install nix ",
		distribution.Arch:   "pacman -S nix",
		distribution.SUSE:   "zypper install nix",
		distribution.Alpine: "apk add nix",
		"":                  "https://nixos.org/download",
	} {
		if got := installHint(family); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", family, got, want)
		}
	}
}

func TestBefore(t *testing.T) {
	for version, want := range map[string]bool{
		"2.8.0": true, "2.19.3": true, "2.20.0": false, "2.34.8": false,
		"3.0pre1": false,
	} {
		if got := (&Client{Version: version}).before(2, 20); got != want {
			t.Errorf("%s: %v", version, got)
		}
	}
}

func TestBuildDir(t *testing.T) {
	for _, c := range []struct{ tmpdir, noexec, want string }{
		{"", "", ""},
		{"", "/tmp", "/var/tmp"},
		{"", "/tmp /var/tmp", ""},
		{"/elsewhere", "/tmp", ""},
		{"/elsewhere", "/elsewhere", "/var/tmp"},
	} {
		may := func(dir string) bool {
			for _, bad := range strings.Fields(c.noexec) {
				if bad == dir {
					return false
				}
			}
			return true
		}
		if got := buildDir(c.tmpdir, may); got != c.want {
			t.Errorf("TMPDIR=%s, noexec %s: %q, want %q", c.tmpdir, c.noexec, got, c.want)
		}
	}
}

func TestMayExecute(t *testing.T) {
	if !mayExecute("/") || mayExecute("/nothere") {
		t.Error("programs start from /, and from nowhere else that is not there")
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 3 && slices.Contains(strings.Split(f[3], ","), "noexec") {
			if fi, err := os.Stat(f[1]); err == nil && fi.IsDir() && mayExecute(f[1]) {
				t.Errorf("%s is mounted noexec", f[1])
			}
		}
	}
}
