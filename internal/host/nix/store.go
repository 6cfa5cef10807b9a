package nix

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ukl/internal/host/distribution"
	"ukl/internal/host/folders"
)

// stateDir is where Nix keeps its database and its daemon's socket.
const stateDir = "/nix/var/nix"

// remote is the value of NIX_REMOTE that Nix is called with. Where an ordinary user's machine has no store at all, Nix
// makes one at the user's home since version 2.10; here it does so in every version, and without a warning at each
// call.
func remote() string {
	v := os.Getenv("NIX_REMOTE")
	if v != "" && v != "auto" || os.Getuid() == 0 || os.Getenv("NIX_STATE_DIR") != "" || os.Getenv("NIX_STORE_DIR") != "" {
		return v
	}
	if _, err := os.Lstat(stateDir); !errors.Is(err, fs.ErrNotExist) {
		return v
	}
	if own, err := ownStore(); err == nil {
		return own
	}
	return v
}

// ownStore is a store that an ordinary user can have without root's help, in NIX_REMOTE's words.
func ownStore() (string, error) {
	data, err := folders.Data()
	return "local?root=" + filepath.Join(data, "nix/root"), err
}

// Physical is where the file system has a store path. It differs when NIX_REMOTE names a store with another root.
func Physical(path string) string {
	if _, query, ok := strings.Cut(remote(), "?"); ok {
		for kv := range strings.SplitSeq(query, "&") {
			if root, ok := strings.CutPrefix(kv, "root="); ok {
				return root + path
			}
		}
	}
	return path
}

// NoStore says that this user's Nix can neither write its store nor reach a daemon that does.
type NoStore struct {
	Said string // Nix's words
}

var noStoreRE = lazy(`(opening lock file|creating directory|could not set permissions on|getting status of|` +
	`cannot connect to socket at) ['"]?/nix\b.*(Permission denied|Operation not permitted|No such file or directory|` +
	`Connection refused|Read-only file system)`)

// elsewhereRE are Nix's words for a store of NIX_REMOTE's that it does not know, or that cannot build.
var elsewhereRE = lazy(`don't know how to open Nix store|is not supported by store`)

func (e *NoStore) elsewhere() bool {
	named := os.Getenv("NIX_REMOTE")
	return named != "" && elsewhereRE().MatchString(e.Said) && strings.Contains(e.Said, "'"+named+"'")
}

// noStore is what Nix said, if that means that it has no store; nil if not.
func noStore(said string) error {
	if e := (&NoStore{Said: said}); noStoreRE().MatchString(said) || e.elsewhere() {
		return e
	}
	return nil
}

func (e *NoStore) daemon() bool { return strings.Contains(e.Said, "daemon-socket") }

func (e *NoStore) denied() bool { return strings.Contains(e.Said, "Permission denied") }

func (e *NoStore) Error() string {
	switch {
	case e.elsewhere():
		return fmt.Sprintf("NIX_REMOTE=%s does not name a store in which Nix can build", os.Getenv("NIX_REMOTE"))
	case e.daemon() && e.denied():
		return "Nix's daemon does not serve this user"
	case e.daemon():
		return "Nix's daemon does not run"
	}
	return "this user cannot write to Nix's store, and no daemon does it instead"
}

// Hint is the line that helps.
func (e *NoStore) Hint() string {
	switch {
	case e.elsewhere():
		return "unset NIX_REMOTE"
	case e.daemon() && e.denied():
		return joinGroup(socketGroup()) + ", and log in again"
	case e.daemon() && os.Getuid() == 0 && os.Getenv("NIX_REMOTE") == "daemon":
		return "unset NIX_REMOTE"
	case e.daemon():
		return distribution.AsRoot("systemctl start nix-daemon.socket")
	}
	own, err := ownStore()
	if err != nil {
		return "export HOME=/a/directory/to/write/in"
	}
	return fmt.Sprintf("export NIX_REMOTE='%s'", own)
}

// Details are what Nix said, and what root could do.
func (e *NoStore) Details() []string {
	lines := []string{e.Said}
	if !e.daemon() && !e.elsewhere() && distribution.Here() == distribution.Debian {
		lines = append(lines, "use a store of your own (below), or a daemon for all users: "+
			distribution.Debian.Install("nix-setup-systemd")+" && "+joinGroup("nix-users"))
	}
	return lines
}

// joinGroup is the command that makes this user a member of a group.
func joinGroup(group string) string {
	name := "$USER"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return distribution.AsRoot("usermod -aG " + group + " " + name)
}

// socketGroup is the group that the daemon serves.
func socketGroup() string {
	if fi, err := os.Stat(filepath.Join(stateDir, "daemon-socket")); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			if g, err := user.LookupGroupId(strconv.Itoa(int(st.Gid))); err == nil {
				return g.Name
			}
		}
	}
	return "nix-users"
}
