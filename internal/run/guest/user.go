package guest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"

	"ukl/internal/cli/exit"
	"ukl/internal/host/realpath"
)

// User is who the application is in the guest.
type User struct {
	UID, GID int
	Groups   []int  // besides GID
	Home     string // as /etc/passwd says
}

// Files of accounts in the guest: passwd(5), group(5).
const (
	passwd = "/etc/passwd"
	group  = "/etc/group"
)

// mostAccounts is how much of a file of accounts is read, in bytes.
const mostAccounts = 4 << 20

// FindUser makes the application a user: NAME or a number, and after a colon a group, as container runtimes take it.
// The names are those of the guest's /etc/passwd and /etc/group; packed reads these of a root of packages, and says nil
// if it has none. Without a group the user has the group of /etc/passwd, and those of /etc/group that name it.
func (o *Options) FindUser(spec string, packed func(path string) ([]byte, error)) error {
	users, err := o.accounts(passwd, packed)
	if err != nil {
		return err
	}
	groups, err := o.accounts(group, packed)
	if err != nil {
		return err
	}
	u, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, bytes.NewReader(users), bytes.NewReader(groups))
	if err != nil {
		return &NoUser{spec, err}
	}
	o.User = &User{u.Uid, u.Gid, u.Sgids, u.Home}
	return nil
}

// accounts is a file of accounts as the guest will have it.
func (o *Options) accounts(name string, packed func(path string) ([]byte, error)) ([]byte, error) {
	places := o.HostFiles(name)
	for _, v := range o.Machine.Volumes {
		if v.IsRoot() && v.FileSystem == "" { // what was copied is above it
			below := HostFile{v.Host, name[1:]}
			places = append(slices.DeleteFunc(places, func(h HostFile) bool { return h == below }), below)
		}
	}
	for _, p := range places {
		f, err := p.Open()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, mostAccounts))
	}
	if packed != nil {
		if text, err := packed(name); text != nil || err != nil {
			return text, err
		}
	}
	return []byte(o.etc()[name[1:]]), nil
}

// NoUser is a user or a group that the guest does not have.
type NoUser struct {
	Spec string
	err  error
}

func (e *NoUser) Error() string {
	var what string
	switch {
	case errors.Is(e.err, user.ErrNoPasswdEntries):
		what = "the guest's " + passwd + " has no such user"
	case errors.Is(e.err, user.ErrNoGroupEntries):
		what = "the guest's " + group + " has no such group"
	case errors.Is(e.err, user.ErrRange):
		what = "numbers of users and groups are 0 to 2147483647"
	default:
		what = e.err.Error()
	}
	return fmt.Sprintf("user %q: %s", e.Spec, what)
}

// ExitCode is that of a wrong argument.
func (*NoUser) ExitCode() exit.Code { return exit.Usage }

// Hint is the line that helps.
func (*NoUser) Hint() string { return "a number needs no entry: 1000:1000" }

// numbers are the user as the kernel takes it.
func (u *User) numbers() []string {
	var list []string
	for _, n := range slices.Concat([]int{u.UID, u.GID}, u.Groups) {
		list = append(list, strconv.Itoa(n))
	}
	return list
}

// userEnv are the variables that follow from the user.
func (o *Options) userEnv() []string {
	if o.User == nil {
		return nil
	}
	return []string{"HOME=" + o.User.Home}
}

// userSysctl lets a user who is not root listen on ports below 1024, as container runtimes do.
func (o *Options) userSysctl() []string {
	if o.User == nil || o.User.UID == 0 {
		return nil
	}
	return []string{"net.ipv4.ip_unprivileged_port_start=0"}
}

// NoDirectory is a working directory that a volume does not have.
type NoDirectory struct{ Dir, Host string }

func (e *NoDirectory) Error() string {
	return fmt.Sprintf("working directory %s: there is no directory %s", e.Dir, e.Host)
}

// ExitCode is that of a wrong argument.
func (*NoDirectory) ExitCode() exit.Code { return exit.Usage }

// FindDir looks for the working directory in the volumes. Elsewhere it is made if it is not there. What a disk image
// has, only the guest's kernel knows.
func (o *Options) FindDir() error {
	deepest := -1
	for i, v := range o.Machine.Volumes {
		if realpath.Inside(v.Guest, o.Dir) && (deepest < 0 || len(v.Guest) > len(o.Machine.Volumes[deepest].Guest)) {
			deepest = i
		}
	}
	if deepest < 0 || o.Machine.Volumes[deepest].FileSystem != "" || o.Machine.Volumes[deepest].IsRoot() {
		return nil
	}
	v := o.Machine.Volumes[deepest]
	below := path.Join(".", strings.TrimPrefix(o.Dir, v.Guest))
	root, err := os.OpenRoot(v.Host)
	if err != nil {
		return err
	}
	defer root.Close()
	if fi, err := root.Stat(below); err == nil && fi.IsDir() {
		return nil
	}
	return &NoDirectory{o.Dir, path.Join(v.Host, below)}
}
