// Package folders says where the files of a user go, by the rules of the XDG base directories: the variable, if it is
// an absolute path, and otherwise a folder at home. Home is HOME, or what the user database says where HOME is unset or
// empty, as in a service or a container. It makes nothing.
package folders

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
)

// Homeless says that nobody knows a home of this user, or that HOME cannot be it.
type Homeless struct {
	UID  int
	Home string // the value of HOME, if that is the reason
}

func (e *Homeless) Error() string {
	if e.Home != "" {
		return fmt.Sprintf("HOME=%s is not an absolute path", e.Home)
	}
	const why = "HOME is not set, and the user is not in the user database"
	return fmt.Sprintf("user %d has no home directory: %s", e.UID, why)
}

// Hint is the line that helps.
func (e *Homeless) Hint() string { return "export HOME=/a/directory/to/write/in" }

// Home is the user's home directory.
func Home() (string, error) { return home(os.Getenv("HOME"), os.Getuid(), user.LookupId) }

func home(env string, uid int, lookup func(uid string) (*user.User, error)) (string, error) {
	switch {
	case filepath.IsAbs(env):
		return env, nil
	case env != "":
		return "", &Homeless{uid, env}
	}
	if u, err := lookup(fmt.Sprint(uid)); err == nil && filepath.IsAbs(u.HomeDir) {
		return u.HomeDir, nil
	}
	return "", &Homeless{UID: uid}
}

// Cache is for what can be found out again.
func Cache() (string, error) { return folder("XDG_CACHE_HOME", ".cache") }

// State is for what a run leaves.
func State() (string, error) { return folder("XDG_STATE_HOME", ".local/state") }

// Data is for what a program keeps.
func Data() (string, error) { return folder("XDG_DATA_HOME", ".local/share") }

func folder(variable, below string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir, nil
	}
	home, err := Home()
	if err != nil {
		return "", err
	}
	return filepath.Join(home, below), nil
}
