package pins

import "slices"

// want is what a tree is asked to hold: packages, and those of their dependencies that nobody here can miss.
type want struct {
	packages []string
	without  []string
	alone    bool // only the packages: nothing of them runs here
}

// wants is the only hand-written part of the lock: everything else in it follows from the archive's metadata.
var wants = map[string]want{
	// tools compiles Linux 6.1, glibc 2.36 and applications, and links and compresses images.
	"tools": {
		packages: []string{
			"bash", "bc", "binutils", "bison", "bzip2", "coreutils", "cpio", "cpp", "dash", "debianutils", "diffutils", "file",
			"findutils", "flex", "g++", "gawk", "gcc", "grep", "gzip", "hostname", "libc-bin", "libc6-dev", "libelf-dev",
			"libstdc++-12-dev", "linux-libc-dev", "lz4", "m4", "make", "patch", "perl", "pkgconf",
			"python3-minimal", // glibc's configure insists on it
			"sed", "tar", "xz-utils", "zlib1g-dev", "zstd",
		},
		without: []string{
			// What only an installed, running Debian needs.
			"adduser", "base-files", "base-passwd", "debconf", "dpkg", "init-system-helpers", "libaudit-common", "libaudit1",
			"libcap-ng0",
			"libdb5.3", "libfile-find-rule-perl", "libmd0", "libnumber-compare-perl", "libpam-modules", "libpam-modules-bin",
			"libpam-runtime",
			"libpam0g", "libsemanage-common", "libsemanage2", "libsepol2", "libtext-glob-perl", "lsb-base", "passwd",
			"readline-common",
			"sysvinit-utils", "usrmerge",
			// Sun RPC and NIS, which left glibc's headers long ago.
			"libcom-err2", "libgssapi-krb5-2", "libk5crypto3", "libkeyutils1", "libkrb5-3", "libkrb5support0", "libnsl-dev",
			"libnsl2",
			"libssl3", "libtirpc-common", "libtirpc-dev", "libtirpc3", "rpcsvc-proto",
			// Sanitizers, a profiler and gdb's plug-in.
			"libasan8", "libcc1-0", "libgprofng0", "libhwasan0", "libitm1", "liblsan0", "libquadmath0", "libtsan2", "libubsan1",
		},
	},
	// data has files for guests whose ukl.toml asks for them; no image and no tool is made of it.
	Data: {packages: []string{certificates, timezones}, alone: true},
	// squashfs writes the root file systems of applications that name packages for one, with the libraries of the tools.
	"squashfs": {packages: []string{"liblzo2-2", "squashfs-tools"}, alone: true},
	// qemu runs images on any host, through the tree's own loader.
	"qemu": {
		packages: []string{"qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"},
		without: []string{
			"adduser", "debconf", "ipxe-qemu", "iso-codes", "libaudit-common", "libaudit1", "libcap2-bin", "libpam-modules",
			"libpam-modules-bin", "libpam0g", "libsemanage-common", "libsemanage2", "libsepol2", "passwd",
			// Modules for sound, SPICE, smart cards, Braille and OpenGL stay unloadable.
			"libasound2", "libasound2-data", "libbrlapi0.8", "libcacard0", "libdrm-common", "libdrm2", "libdw1", "libepoxy0",
			"libexpat1",
			"libgbm1", "libgstreamer-plugins-base1.0-0", "libgstreamer1.0-0", "libnspr4", "libnss3", "libopus0", "liborc-0.4-0",
			"libpcsclite1", "libsndio7.0", "libspice-server1", "libsqlite3-0", "libunwind8", "libwayland-server0",
		},
	},
}

// Data is the tree with files for guests.
const Data = "data"

// The packages of Data.
const (
	certificates = "ca-certificates"
	timezones    = "tzdata"
)

// Locale is the package with the locale C.UTF-8, which every guest has. It is one of the tools.
const Locale = "libc-bin"

// Asked are the pins of Data that a ukl.toml asks for.
func (l *Lock) Asked(withCertificates, withTimezones bool) []Pin {
	return slices.DeleteFunc(l.Of(Data), func(p Pin) bool {
		return !(p.Name == certificates && withCertificates || p.Name == timezones && withTimezones)
	})
}

// sources are Debian's packages of upstream source, by the part that is built from them.
var sources = map[string]string{"glibc": "glibc-source", "linux": "linux-source-6.1"}

// Distro is the part that boots an application as a process of Debian's own kernel. No image is made of it.
const Distro = "distro"

// kernels are packages that need Debian's newest kernel, by the part that boots it: the kernel's own package has the
// number of its ABI in its name, which changes.
var kernels = map[string]string{Distro: "linux-image-cloud-amd64"}
