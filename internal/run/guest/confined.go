package guest

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"ukl/internal/host/realpath"
)

// confined tells whether QEMU gets only what its machine needs.
func (o *Options) confined() bool { return !o.Unconfined && o.Program.Tree != "" }

// inheritor adds a file to those that QEMU inherits, and returns its descriptor there.
func inheritor(files *[]*os.File) func(*os.File) int {
	return func(f *os.File) int {
		*files = append(*files, f)
		return 3 + len(*files) - 1
	}
}

// store is where everybody may read.
const store = "/nix/store/"

// openFiles opens volumes for QEMU, so that it gets what was looked at, and for a confined QEMU what it could not open
// itself. The caller closes what is opened, also after an error.
func (r *run) openFiles(inherit func(*os.File) int) (opened []*os.File, err error) {
	m := &r.Machine
	add := func(f *os.File, err error) (int, error) {
		if err != nil {
			return 0, err
		}
		opened = append(opened, f)
		return inherit(f), nil
	}
	m.Volumes = slices.Clone(m.Volumes)
	for i, v := range m.Volumes {
		var mode int
		switch {
		case v.VirtioFS():
			continue
		case v.NineP:
			mode = unix.O_PATH | unix.O_DIRECTORY
		case v.ReadOnly:
			mode = os.O_RDONLY
		default:
			mode = os.O_RDWR
		}
		if m.Volumes[i].Descriptor, err = add(realpath.Open(v.Host, mode)); err != nil {
			return opened, fmt.Errorf("volume %s: %w", v, err)
		}
	}
	if !r.confined() {
		return opened, nil
	}
	if !strings.HasPrefix(m.Kernel, store) {
		fd, err := add(inMemory(m.Kernel))
		if err != nil {
			return opened, err
		}
		m.Kernel = fmt.Sprintf("/proc/self/fd/%d", fd)
	}
	if m.Network.Tap != "" {
		m.Network.Descriptor, err = add(m.Network.Open())
	}
	return opened, err
}

// named are the files that a confined QEMU opens by name.
func (r *run) named() []string {
	if strings.HasPrefix(r.Machine.Kernel, store) {
		return []string{r.Machine.Kernel}
	}
	return nil
}

// inMemory copies a file into memory: QEMU opens it anew, and may not be one who may read the original.
func inMemory(name string) (*os.File, error) {
	from, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := memory("ukl-kernel")
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(to, from); err != nil {
		to.Close()
		return nil, err
	}
	return to, nil
}

// memory is a file that is in memory alone.
func memory(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// input is a file with what the plugin reads.
func (c *Count) input() (*os.File, error) {
	f, err := memory("ukl-functions")
	if err != nil {
		return nil, err
	}
	if _, err = c.Functions.WriteTo(f); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// notConfined is the hint for a QEMU that could not do what arguments of the user ask for.
func (o *Options) notConfined() string {
	if !o.confined() || len(o.Machine.Extra) == 0 {
		return ""
	}
	return "if QEMU may not do what --qemu-arg asks for: --" + Unconfined
}

// Unconfined is the option that lets QEMU do what ukl may.
const Unconfined = "unconfined"
