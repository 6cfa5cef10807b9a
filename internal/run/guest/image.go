package guest

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"ukl/internal/cli/exit"
	"ukl/internal/machine/qemu"
)

// Look tells what the layer below a guest's own files has at a path, which is absolute and clean: its type, and where
// it leads if it is a link. The error is fs.ErrNotExist for nothing.
type Look func(path string) (mode fs.FileMode, target string, err error)

// LookIn is the Look of a directory of the host that is such a layer.
func LookIn(dir string) Look {
	return func(name string) (fs.FileMode, string, error) {
		at := filepath.Join(dir, name)
		fi, err := os.Lstat(at)
		if err != nil {
			return 0, "", err
		}
		target := ""
		if fi.Mode()&fs.ModeSymlink != 0 {
			target, err = os.Readlink(at)
		}
		return fi.Mode().Type(), target, err
	}
}

// mostLinks is how many links a path may lead over (MAXSYMLINKS of Linux).
const mostLinks = 40

// resolve is where a path of the guest leads in the layer, and what is there: nil, fs.ErrNotExist or another error. The
// last part of the path is followed, too.
func (look Look) resolve(name string) (real string, mode fs.FileMode, err error) {
	rest, links := strings.Split(strings.Trim(name, "/"), "/"), 0
	real, mode = "/", fs.ModeDir
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		if part == ".." || part == "." || part == "" {
			real = path.Join(real, part)
			continue
		}
		if mode&fs.ModeDir == 0 {
			return "", 0, fmt.Errorf("%s is no directory", real)
		}
		at := path.Join(real, part)
		found, target, err := look(at)
		switch {
		case err != nil: // nothing is there, so no link is
			return path.Join(append([]string{at}, rest...)...), 0, fs.ErrNotExist
		case found&fs.ModeSymlink != 0:
			if links++; links > mostLinks {
				return "", 0, fmt.Errorf("%s leads in a circle", name)
			}
			if path.IsAbs(target) {
				real = "/"
			}
			rest = append(strings.Split(target, "/"), rest...)
		default:
			real, mode = at, found
		}
	}
	return real, mode, nil
}

// Fit puts the files of a guest into the places where links of the layer below lead: a file in /lib is one in /usr/lib.
// The kernel does so with volumes. What is in the way of the application, of a file or of a volume is an error.
func (o *Options) Fit(look Look) error {
	for i, f := range o.Files {
		wrong := func(why string, args ...any) error {
			return exit.Errorf(exit.Input, "[files] %q: %s", f.Guest, fmt.Sprintf(why, args...))
		}
		fi, err := os.Stat(f.Host)
		if err != nil {
			return err
		}
		dir, _, derr := look.resolve(path.Dir(f.Guest))
		real, mode, err := look.resolve(f.Guest)
		switch {
		case derr != nil && derr != fs.ErrNotExist:
			return wrong("%v in the root file system", derr)
		case err != nil && err != fs.ErrNotExist:
			return wrong("%v in the root file system", err)
		case real == o.Place:
			return wrong("the application is there")
		case err == nil && mode.IsDir() && !fi.IsDir():
			return wrong("it is a directory of the root file system, and %s is a file", f.Host)
		case err == nil && !mode.IsDir() && fi.IsDir():
			return wrong("it is a file of the root file system, and %s is a directory", f.Host)
		case err == nil && mode.IsDir():
			o.Files[i].Guest = real
		default: // a link to a file is replaced
			o.Files[i].Guest = path.Join(dir, path.Base(f.Guest))
		}
	}
	for _, v := range o.Machine.Volumes {
		if v.IsRoot() {
			continue
		}
		real, mode, err := look.resolve(v.Guest)
		switch {
		case err != nil && err != fs.ErrNotExist:
			return &Blocked{v, err.Error()}
		case err == nil && !mode.IsDir():
			return &Blocked{v, v.Guest + " is a file of the root file system"}
		case o.Place == real || strings.HasPrefix(o.Place, strings.TrimSuffix(real, "/")+"/"):
			return &Blocked{v, "the application, " + o.Place + ", is there"}
		}
	}
	return nil
}

// Blocked is a volume that would be in the way, or that something is in the way of.
type Blocked struct {
	Volume qemu.Volume
	Why    string
}

func (e *Blocked) Error() string { return fmt.Sprintf("volume %s: %s", e.Volume, e.Why) }

// ExitCode is that of a wrong argument: the place was named.
func (*Blocked) ExitCode() exit.Code { return exit.Usage }
