package qemu

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Volume is a directory of the host that the guest sees over virtiofs or 9P, or the image of a disk that the guest has.
type Volume struct {
	Host, Guest string
	ReadOnly    bool
	NineP       bool // a directory is lent over 9P
	// Trusted lets the guest set owners of files of a directory, and bits that lend an owner's rights.
	Trusted bool
	// FileSystem is the type of what an image holds, as the guest's kernel calls it; "" is a directory.
	FileSystem string
	// Descriptor is that of the image, or of the directory that is lent over 9P, which QEMU inherits; 0 lets it open Host
	// itself.
	Descriptor int
	// Server is the host's end of virtiofs, as QEMU's -chardev option without the id: "socket,fd=3".
	Server string
}

// VirtioFS tells whether a volume needs a server of its own.
func (v Volume) VirtioFS() bool { return v.FileSystem == "" && !v.NineP }

// IsRoot tells whether a volume brings the guest's root file system.
func (v Volume) IsRoot() bool { return v.Guest == "/" }

// Layered tells whether the volume is the middle layer of the guest's root: the guest reads it, and writes to memory
// above it.
func (v Volume) Layered() bool { return v.IsRoot() && v.ReadOnly }

// MaxVolumes is how many there is room for: the machine has places for 8 devices, and console and network card have
// two.
const MaxVolumes = 6

// ParseVolume reads HOST:GUEST[:OPTION,...] with the options ro, rw, 9p and trusted. It does not look whether HOST is
// there.
func ParseVolume(s string) (Volume, error) {
	bad := func(why string) (Volume, error) {
		const want = "want HOST:GUEST[:OPTIONS]; options are ro, rw, 9p and trusted, with commas between"
		return Volume{}, fmt.Errorf("volume %q: %s; %s", s, why, want)
	}
	v := Volume{}
	rest := s
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 && !strings.Contains(s[colon:], "/") &&
		strings.Contains(s[:colon], ":/") {
		if why := v.options(s[colon+1:]); why != "" {
			return bad(why)
		}
		rest = s[:colon]
	}
	at := strings.LastIndex(rest, ":/")
	switch {
	case at < 0:
		return bad("the guest's path is not absolute")
	case at == 0:
		return bad("the host's directory or disk image is missing")
	case strings.ContainsAny(rest, "\n\x00"):
		return bad("a path has a line break or a zero byte")
	}
	v.Host, v.Guest = rest[:at], path.Clean(rest[at+1:])
	if v.Guest == Root || strings.HasPrefix(v.Guest, Root+"/") {
		return bad(Root + " is reserved for a volume at /")
	}
	for _, own := range []string{"/app", "/dev", "/proc", "/sys"} {
		if v.Guest == own || own != "/dev" && strings.HasPrefix(v.Guest, own+"/") {
			return bad(own + " is the guest's own")
		}
	}
	return v, nil
}

// options sets what a list of options says, or tells why it is none: ro and rw exclude each other.
func (v *Volume) options(list string) string {
	writes := false
	for word := range strings.SplitSeq(list, ",") {
		switch word {
		case "ro":
			v.ReadOnly = true
		case "rw":
			writes = true
		case "9p":
			v.NineP = true
		case "trusted":
			v.Trusted = true
		default:
			return fmt.Sprintf("unknown options %q", list)
		}
	}
	if v.ReadOnly && writes {
		return "ro and rw exclude each other"
	}
	return ""
}

// String is v as ParseVolume reads it.
func (v Volume) String() string {
	var options []string
	if v.ReadOnly {
		options = append(options, "ro")
	}
	if v.NineP {
		options = append(options, "9p")
	}
	if v.Trusted {
		options = append(options, "trusted")
	}
	if options == nil && strings.Contains(path.Base(v.Guest), ":") {
		options = []string{"rw"} // else the end of the path would be taken for options
	}
	s := v.Host + ":" + v.Guest
	if options != nil {
		s += ":" + strings.Join(options, ",")
	}
	return s
}

// Root is where the kernel mounts a volume for "/" that is written to. The root itself is in memory then, and what the
// volume has at its top is there by links. Of a volume that is not written to, the layers around it are there.
const Root = "/.root"

// Place is where the kernel mounts the volume.
func (v Volume) Place() string {
	if v.IsRoot() && !v.ReadOnly {
		return Root
	}
	return v.Guest
}

// tag is the name by which guest and QEMU know the nth volume.
func tag(n int) string { return fmt.Sprintf("volume%d", n) }

func (v Volume) args(n int, device func(string) string) []string {
	mode := ""
	if v.FileSystem != "" {
		if v.ReadOnly {
			mode = ",read-only=on"
		}
		var inherit []string
		file := Value(v.Host)
		if v.Descriptor != 0 {
			inherit = []string{"-add-fd", fmt.Sprintf("fd=%d,set=%[1]d", v.Descriptor)}
			file = fmt.Sprintf("/dev/fdset/%d", v.Descriptor)
		}
		// Errors of the host's disk, as when it is full, are the guest's: otherwise QEMU would halt it without a word.
		return append(inherit,
			"-blockdev", fmt.Sprintf("driver=raw,node-name=%s%s,file.driver=file,file.filename=%s", tag(n), mode, file),
			"-device", fmt.Sprintf("%s,drive=%s,serial=%[2]s,werror=report,rerror=report", device("virtio-blk"), tag(n)))
	}
	if !v.NineP {
		return []string{
			"-chardev", chardev(v.Server, tag(n)),
			"-device", fmt.Sprintf("%s,chardev=%s,tag=%[2]s", device("vhost-user-fs"), tag(n)),
		}
	}
	if v.ReadOnly {
		mode = ",readonly=on"
	}
	dir := Value(v.Host)
	if v.Descriptor != 0 {
		dir = fmt.Sprintf("/proc/self/fd/%d", v.Descriptor)
	}
	return []string{
		"-fsdev", fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap%s", tag(n), dir, mode),
		"-device", fmt.Sprintf("%s,fsdev=%s,mount_tag=%[2]s", device("virtio-9p"), tag(n)),
	}
}

// Mounts are the volumes as the guest's kernel reads them: type, source, mode, options, directory; one a line. ""
// without volumes. One that lies in another comes after it, whatever their order in m.
func (m Machine) Mounts() string {
	lines := map[string]string{}
	disk := 'a' // the kernel names disks in the order of QEMU's arguments
	for n, v := range m.Volumes {
		mode := "rw"
		if v.ReadOnly {
			mode = "ro"
		}
		line := fmt.Sprintf("virtiofs %s %s - %s\n", tag(n), mode, v.Place())
		switch {
		case v.FileSystem != "":
			line = fmt.Sprintf("%s /dev/vd%c %s - %s\n", v.FileSystem, disk, mode, v.Place())
			disk++
		case v.NineP:
			line = fmt.Sprintf("9p %s %s trans=virtio,version=9p2000.L,msize=524288,cache=mmap %s\n", tag(n), mode, v.Place())
		}
		lines[v.Guest] = line
	}
	var all strings.Builder
	for _, guest := range slices.Sorted(maps.Keys(lines)) {
		all.WriteString(lines[guest])
	}
	return all.String()
}

// Within is the volume among others that v lies in, the innermost, and where in it; false if v is in the guest's own
// root.
func (v Volume) Within(others []Volume) (outer Volume, place string, ok bool) {
	for _, o := range others {
		at := strings.TrimSuffix(o.Guest, "/") + "/"
		if v.Guest != o.Guest && strings.HasPrefix(v.Guest, at) && len(o.Guest) > len(outer.Guest) {
			outer, place, ok = o, strings.TrimPrefix(v.Guest, at), true
		}
	}
	return outer, place, ok
}

// Locked finds the volume in QEMU's words about an image that another QEMU has open.
func (m Machine) Locked(said string) (Volume, bool) {
	for n, v := range m.Volumes {
		if v.FileSystem != "" && strings.Contains(said, "drive="+tag(n)+",") && strings.Contains(said, `" lock`) {
			return v, true
		}
	}
	return Volume{}, false
}
