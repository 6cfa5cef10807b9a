// Package manifest reads ukl.toml, which describes one application. Everything in it is checked before anything is
// built, and an error names file, line and column. What belongs to a run (arguments, ports, memory) never reaches a
// build; nixexprs/manifest.nix reads the rest of the same file.
package manifest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ukl/internal/app/container"
	"ukl/internal/cli/exit"
	"ukl/internal/host/regular"
	"ukl/internal/host/signalname"
	"ukl/internal/machine/qemu"
	"ukl/internal/pin/pins"
)

// File is the manifest's name in an application's directory.
const File = "ukl.toml"

// Manifest is a valid ukl.toml with its defaults filled in.
type Manifest struct {
	Name    string
	Aliases []string // other names of a bundled application
	Summary string   // one line for `ukl list`

	// Prebuilt is a finished program in the directory, in place of all that is compiled; "" is none.
	Prebuilt string
	// Build are shell commands in place of ukl's own compiling; none is that. They make the program Result, or else
	// relocatable files that fit the patterns Objects, which ukl links.
	Build   []string
	Result  string
	Objects []string
	// Packages are Debian packages that the build sees besides the usual tools; their pins are in ukl.lock.
	Packages []string
	// Root is a root file system of packages that has the program; nil is none.
	Root *Root
	// Archive is third-party source that is unpacked below the directory's own files; nil is none. Patches are patterns of
	// files of the directory, which are applied to it.
	Archive *pins.Archive
	Patches []string
	// Limit is how much the archive may unpack to, as 900M or 8G; "" is what nixexprs/upstream.sh says.
	Limit string
	// Sources are patterns of files below the directory; Include are directories; the flags and libs go to compiler and
	// linker.
	Sources, Include, CFlags, CXXFlags, LDFlags, Libs []string

	Args []string // of the application, unless the command line gives some
	// User is who the application is in the guest: NAME or a number, and after a colon a group; "" is root.
	User string
	// StopSignal asks the application to end, in place of SIGTERM; 0 is that.
	StopSignal syscall.Signal
	// WorkDir is the directory of the guest where it starts, an absolute path; "" is the root.
	WorkDir string
	Env     []string // NAME=VALUE, sorted by name
	// Sysctl are what the guest's kernel is told of its parameters: NAME=VALUE, sorted by name, which has points.
	Sysctl []string
	Ports  []qemu.Forward
	// Volumes are directories of the host, by paths that may be relative to the manifest's directory.
	Volumes []qemu.Volume
	// Files are copied into the guest's root file system, sorted by their place there.
	Files []Copied
	// Certificates and TimeZones ask for files of ukl's own pins in the guest's root file system.
	Certificates, TimeZones bool
	// Host asks for this machine's own services, by the user network.
	Host   bool
	Memory int // MiB; without one in the file the least that the guest has
	CPUs   int
	Calls  Calls
	// Kernel are lines of kernel configuration (CONFIG_X=y) that the application's kernel has besides.
	Kernel []string
	Tests  []Test

	// Sum is the SHA-256 of the file's text; "" where there is none.
	Sum string

	kernel map[string]Error // where each line of Kernel is, and all under ""
	memory *Error           // where Memory is; nil if the file says nothing of it
	source *Error           // where [source] is; nil without one
	// Where the program and the image of [root] are; nil without one.
	program, image *Error
	// Where Host is, and the items of Volumes and Files.
	host           Error
	ports          []Error // of Ports
	user, workDir  Error   // where User and WorkDir are
	volumes, files []Error
}

// SourceError is a mistake in [source], which the file has, that only the archive has shown.
func (m *Manifest) SourceError(text, hint string) Errors {
	e := *m.source
	e.Text, e.Hint = text, hint
	return Errors{&e}
}

// RootError is a mistake in the program of [root] that only the files there have shown. Without a file it is its text.
func (m *Manifest) RootError(text string) error {
	if m.program == nil {
		return exit.Errorf(exit.Input, "%s: %s", m.Root.Image, text).
			WithHint("name another program in a ukl.toml: [root] with image and program")
	}
	e := *m.program
	e.Text = text
	return Errors{&e}
}

// UserError is a mistake in User, which the file or its image has, that only the accounts of the guest have shown.
func (m *Manifest) UserError(text, hint string) error { return m.identityError(m.user, text, hint) }

// WorkDirError is a mistake in WorkDir, which the file or its image has, that only a look at the volumes has shown.
func (m *Manifest) WorkDirError(text string) error { return m.identityError(m.workDir, text, "") }

func (m *Manifest) identityError(e Error, text, hint string) error {
	if e.File == "" { // it is not of the file
		return exit.Errorf(exit.Input, "image %q: %s", m.Root.Image, text).WithHint("%s", hint)
	}
	e.Text, e.Hint = text, hint
	return Errors{&e}
}

// ImageError is a mistake in the image of [root], which the file has, that only a look at the image has shown.
func (m *Manifest) ImageError(text, hint string) Errors {
	e := *m.image
	e.Text, e.Hint = text, hint
	return Errors{&e}
}

// GivesMemory tells whether the file itself says how much memory the guest has.
func (m *Manifest) GivesMemory() bool { return m.memory != nil }

// MemoryError is a mistake in Memory, which the file gives, that only a look at the kernel has found.
func (m *Manifest) MemoryError(text, hint string) Errors {
	e := *m.memory
	e.Text, e.Hint = text, hint
	return Errors{&e}
}

// KernelErrors are mistakes in Kernel that the kernel's own configuration has found; each text begins with the line
// that it is about, and a colon. hint helps with all of them.
func (m *Manifest) KernelErrors(texts []string, hint string) Errors {
	var errs Errors
	for _, t := range texts {
		line, _, _ := strings.Cut(t, ": ")
		e, ok := m.kernel[line]
		if !ok {
			e = m.kernel[""]
		}
		e.Text = t
		errs = append(errs, &e)
	}
	errs[0].Hint = hint
	return errs
}

// Root is a root file system of Debian packages, whose pins are in ukl.lock, or of a container image.
type Root struct {
	Packages []string
	Image    string // a reference that package container reads, relative to the manifest's directory; "" is none
	// Program is the path of the application in it, which may be a link. It is absolute, or in a directory of Path.
	Program string
	Path    string // directories with colons between
}

// Wants are what the manifest names that is pinned.
func (m *Manifest) Wants() pins.Wants {
	w := pins.Wants{Packages: m.Packages, Archive: m.Archive}
	if m.Root != nil {
		w.Root = m.Root.Packages
	}
	return w
}

// Called is the application's argv[0].
func (m *Manifest) Called() string {
	if m.Root != nil {
		return m.Root.Program
	}
	return m.Name
}

// listed are the packages to which more are added.
func (m *Manifest) listed() []string {
	if m.Root != nil {
		return m.Root.Packages
	}
	return m.Packages
}

// Copied is a file or directory that the guest gets a copy of.
type Copied struct {
	Guest string // an absolute path
	Host  string // may be relative to the manifest's directory
}

// Calls is the way from the application into the kernel.
type Calls string

const (
	Gate   Calls = "gate"   // every system call does the kernel's entry and exit work
	Bypass Calls = "bypass" // that work is skipped when none is due
)

// Test is one exchange with the running application.
type Test struct {
	Name   string
	Args   []string
	Port   int    // of the guest, where Send goes: by default the first of Ports; 0 is the application's stdin
	Send   string // bytes
	Expect string // what must come back, from the port or on stdout
	Status int    // the application's exit code; -1 is: it is not waited for
}

// NotFound says that a directory describes no application.
type NotFound struct{ Dir string }

func (e *NotFound) Error() string { return fmt.Sprintf("no %s in %s", File, e.Dir) }

// ExitCode is the code of a command that this ends.
func (*NotFound) ExitCode() exit.Code { return exit.NoInput }

// Hint is the line that helps.
func (*NotFound) Hint() string {
	return "`ukl init` writes one, also for existing sources; `ukl list` shows the applications of ukl"
}

// Load reads the manifest of the application in dir. It also looks whether the source files exist.
func Load(dir string) (*Manifest, error) {
	path := filepath.Join(dir, File)
	text, err := regular.Read(path, mostText)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &NotFound{dir}
	case err != nil:
		return nil, err
	}
	base, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return Parse(text, Place{File: path, Base: filepath.Base(base), FS: regular.Dir(dir)})
}

// mostText is how large a manifest may be, in bytes.
const mostText = 16 << 20

// Place is where a manifest's text comes from.
type Place struct {
	File string // for messages
	Base string // name of the directory: the application's name if the text gives none
	FS   fs.FS  // the directory, to look for sources; nil does not look
}

// longestName keeps store paths, which hold the name, well below what file systems take.
const longestName = 64

// isName tells whether s can be part of a store path. A regular expression would be compiled at each start of ukl.
func isName(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && (i == 0 || !strings.ContainsRune("+._-", c)) {
			return false
		}
	}
	return s != "" && len(s) <= longestName
}

// Parse checks the text of a manifest. Its error is an Errors.
func Parse(text []byte, p Place) (*Manifest, error) {
	r, err := newReader(string(text), p.File)
	if err != nil {
		return nil, err
	}
	m := r.manifest(p)
	m.Sum = fmt.Sprintf("%x", sha256.Sum256(text))
	return m, r.errors()
}

// Keys are the keys of the top level.
func Keys() []string {
	r, err := newReader("", "")
	if err != nil {
		return nil // an empty text is valid
	}
	r.manifest(Place{Base: "x"})
	slices.Sort(r.known)
	return slices.Compact(r.known)
}

func (r *reader) manifest(p Place) *Manifest {
	m := &Manifest{
		Name:    r.text("name", p.Base),
		Aliases: r.list("aliases"),
		Summary: r.text("summary", ""),

		Prebuilt: r.text("prebuilt", ""),
		Build:    r.list("build"),
		Result:   r.text("program", ""),
		Objects:  r.list("objects"),
		Packages: r.list("packages"),
		Sources:  r.list("sources"),
		Include:  r.list("include"),
		CFlags:   r.list("cflags"),
		CXXFlags: r.list("cxxflags"),
		LDFlags:  r.list("ldflags"),
		Libs:     r.list("libs"),

		Args:         r.list("args"),
		Env:          r.env("env"),
		Sysctl:       r.table("sysctl").sysctl(""),
		Certificates: r.boolean("certificates"),
		TimeZones:    r.boolean("timezones"),
		Memory:       r.memory("memory"),
		CPUs:         r.integer("cpus", qemu.DefaultCPUs, 1, qemu.MaxCPUs),
	}
	r.identity(m)
	r.ports(m, "ports")
	r.volumes(m, "volumes")
	r.copied(m, "files", p.FS)
	if r.has("memory") {
		at := r.at("memory")
		m.memory = &at
	}
	r.names(m)
	r.archive(m, p.FS)
	sources := p.FS // where they are looked for
	if m.Archive != nil {
		sources = nil // most are in the archive
	}
	r.root(m)
	switch {
	case m.Root != nil: // its program is finished
	case r.has("prebuilt"):
		r.prebuilt(m.Prebuilt, p.FS)
	case r.has("build"):
		r.commands(m)
	case r.has("program"):
		r.fault("program", "program needs build, which makes it")
	case r.has("objects"):
		r.fault("objects", "objects need build, which makes them")
	case m.Sources == nil:
		m.Sources = DefaultSources()
		if sources != nil && !anyFile(sources, m.Sources) {
			r.fault("", "there is no source file here: %s", strings.Join(m.Sources, ", "))
		}
	default:
		r.files("sources", m.Sources, sources)
	}
	r.inside("include", m.Include)
	r.packages("packages", m.Packages)
	u := r.table("unikernel")
	m.Calls = Calls(u.word("calls", string(Gate), string(Gate), string(Bypass)))
	u.done()
	n := r.table("network")
	if m.Host = n.boolean("host"); m.Host {
		m.host = n.at("host")
	}
	n.done()
	k := r.table("kernel")
	m.Kernel = k.list("config")
	k.configuration("config", m.Kernel)
	if m.Kernel != nil {
		m.kernel = map[string]Error{"": k.at("config")}
		for i, line := range m.Kernel {
			m.kernel[line] = k.at(k.listed("config", i))
		}
	}
	if err := qemu.CheckCPUs(m.CPUs, m.MaxCPUs()); err != nil {
		r.fault("cpus", "%v, since config of [kernel] leaves no room for more", err)
	}
	k.done()
	for _, t := range r.tables("test") {
		port := 0
		if len(m.Ports) > 0 {
			port = m.Ports[0].Guest
		}
		m.Tests = append(m.Tests, t.test(len(m.Tests)+1, port))
	}
	r.done()
	return m
}

func (r *reader) names(m *Manifest) {
	if !isName(m.Name) {
		if r.has("name") {
			r.fault("name", "%q cannot be a name: it takes letters, digits and +._-, and begins with a letter or digit", m.Name)
		} else {
			r.fault("", "the directory's name %q cannot be the application's name: add name = \"...\"", m.Name)
		}
	}
	for i, a := range m.Aliases {
		if !isName(a) {
			r.fault(r.listed("aliases", i), "%q cannot be a name", a)
		}
	}
	if strings.ContainsAny(m.Summary, "\n\r") {
		r.fault("summary", "a summary is one line")
	}
}

func (r *reader) env(key string) []string {
	t := r.table(key)
	var env []string
	for _, name := range t.keys() {
		if strings.ContainsAny(name, "=\x00") || name == "" {
			t.fault(name, "%q cannot be the name of a variable", name)
			continue
		}
		value := t.text(name, "")
		if strings.Contains(value, "\x00") {
			t.fault(name, "a value cannot hold a NUL byte")
			continue
		}
		env = append(env, name+"="+value)
	}
	return env
}

// identity reads who the application is in the guest, where it starts, and what asks it to end.
func (r *reader) identity(m *Manifest) {
	m.User, m.WorkDir = r.text("user", ""), r.text("workdir", "")
	if r.has("user") {
		m.user = r.at("user")
		if err := CheckUser(m.User); err != nil {
			r.fault("user", "%v", err)
		}
	}
	if word := r.text("stopsignal", ""); r.has("stopsignal") {
		var ok bool
		if m.StopSignal, ok = signalname.Parse(word); !ok {
			r.fault("stopsignal", "%q is no signal: want a name such as SIGQUIT, or a number", word)
		}
	}
	if r.has("workdir") {
		m.workDir = r.at("workdir")
		if err := CheckDir(m.WorkDir); err != nil {
			r.fault("workdir", "%v", err)
		}
		m.WorkDir = filepath.Clean(m.WorkDir)
	}
}

// CheckUser tells what is wrong with the form of a user: NAME or a number, and after a colon a group.
func CheckUser(spec string) error {
	name, group, more := strings.Cut(spec, ":")
	bad := func(s string) bool {
		return s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == ':' || c == 0x7f })
	}
	if bad(name) || more && bad(group) {
		return fmt.Errorf("user %q: want NAME or a number, and a group after a colon if it is another: \"www-data\", "+
			"\"1000:100\"", spec)
	}
	return nil
}

// CheckDir tells what is wrong with the path of a directory of the guest.
func CheckDir(dir string) error {
	if !filepath.IsAbs(dir) || strings.ContainsAny(dir, "\x00\n") {
		return fmt.Errorf("%q is not an absolute path in the guest", dir)
	}
	return nil
}

// parameter is the name of a kernel parameter, as sysctl(8) has it.
var parameter = regexp.MustCompile(`^[A-Za-z0-9_-]+([./][A-Za-z0-9_-]+)+$`)

// sysctl reads parameters of the kernel: "net.core.somaxconn" = 1024. Without quotes, TOML makes tables of such a name.
func (r *reader) sysctl(within string) []string {
	var list []string
	for _, key := range r.keys() {
		name, value := strings.ReplaceAll(within+key, "/", "."), ""
		switch v := r.get(key).(type) {
		case map[string]any:
			list = append(list, r.table(key).sysctl(within+key+".")...)
			continue
		case int64:
			value = strconv.FormatInt(v, 10)
		case string:
			value = v
		default:
			r.fault(key, "%s: want a number or a string, not %s", name, kind(v))
			continue
		}
		switch {
		case !parameter.MatchString(name):
			r.fault(key, "%q is not a parameter of the kernel: want a name as net.core.somaxconn", name)
		case value == "" || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' || c == '"' }):
			r.fault(key, "%s: a value is printable ASCII without quotes, and not empty", name)
		default:
			list = append(list, name+"="+value)
		}
	}
	return list
}

func (r *reader) ports(m *Manifest, key string) {
	for i, v := range r.array(key) {
		var s string
		switch v := v.(type) {
		case string:
			s = v
		case int64:
			s = fmt.Sprint(v)
		default:
			r.fault(item(key, i), "want ports such as 5555 or \"8080:80\", not %s", kind(v))
			continue
		}
		f, err := qemu.ParseForward(s)
		if err != nil {
			r.fault(item(key, i), "%v", err)
			continue
		}
		m.Ports, m.ports = append(m.Ports, f), append(m.ports, r.at(item(key, i)))
	}
}

func (r *reader) volumes(m *Manifest, key string) {
	for i, s := range r.list(key) {
		v, err := qemu.ParseVolume(s)
		if err != nil {
			r.fault(r.listed(key, i), "%v", err)
			continue
		}
		if slices.ContainsFunc(m.Volumes, func(other qemu.Volume) bool { return other.Guest == v.Guest }) {
			r.fault(r.listed(key, i), "volume %q: there is another one for %s", s, v.Guest)
			continue
		}
		m.Volumes, m.volumes = append(m.Volumes, v), append(m.volumes, r.at(r.listed(key, i)))
	}
}

// reserved are places of the root file system that belong to the kernel and to ukl.
func reserved() []string {
	return []string{"/app", "/dev", "/init", "/proc", "/sys", "/ukl", qemu.Root}
}

// copied reads a table of places in the guest, and looks whether there is something to copy below the manifest's
// directory.
func (r *reader) copied(m *Manifest, key string, dir fs.FS) {
	t := r.table(key)
	for _, guest := range t.keys() {
		c := Copied{Guest: filepath.Clean(guest), Host: t.text(guest, ".")}
		switch {
		case !filepath.IsAbs(guest) || strings.ContainsAny(guest, "\x00\n"):
			t.fault(guest, "%q is not an absolute path in the guest", guest)
			continue
		case c.Guest == "/" || slices.ContainsFunc(reserved(),
			func(p string) bool { return c.Guest == p || strings.HasPrefix(c.Guest, p+"/") }):
			t.fault(guest, "%s is reserved for the kernel and ukl", guest)
			continue
		case slices.ContainsFunc(m.Files, func(other Copied) bool { return other.Guest == c.Guest }):
			t.fault(guest, "%s is listed twice", c.Guest)
			continue
		case c.Host == "" || strings.Contains(c.Host, "\x00"):
			t.fault(guest, "%s: want a file or a directory", guest)
			continue
		}
		if dir != nil && filepath.IsLocal(c.Host) {
			if _, err := fs.Stat(dir, filepath.ToSlash(filepath.Clean(c.Host))); err != nil {
				t.fault(guest, "there is no %q", c.Host)
			}
		}
		m.Files, m.files = append(m.Files, c), append(m.files, t.at(guest))
	}
}

func (r *reader) memory(key string) int {
	switch v := r.get(key).(type) {
	case nil:
		return qemu.DefaultMemory
	case string:
		n, err := qemu.ParseMemory(v)
		if err != nil {
			r.fault(key, "%v", err)
		}
		return n
	case int64:
		n := int(min(v, 1<<30))
		if err := qemu.CheckMemory(n); err != nil {
			r.fault(key, "%v", err)
		}
		return n
	default:
		r.fault(key, "want a size such as 64 or \"64M\", not %s", kind(v))
		return 0
	}
}

// DefaultSources are the patterns for sources of a manifest without `sources`, the same as in nixexprs/manifest.nix.
func DefaultSources() []string { return []string{"*.c", "*.cc", "*.cpp", "*.S"} }

func anyFile(dir fs.FS, patterns []string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		found, _ := fs.Glob(dir, p)
		return len(found) > 0
	})
}

// OfSources tells by a file's name whether it is one of the application, in whose directory it is: not what describes
// it, not what a build leaves there, and nothing hidden. nixexprs/app-source.nix has the same.
func OfSources(name string) bool {
	return name != File && name != pins.OwnFile && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "result")
}

// wanted tells whether a pattern names what is used, not, behind a "!", what is taken away again.
func wanted(pattern string) bool { return !strings.HasPrefix(pattern, "!") }

func wants(patterns []string) bool { return slices.ContainsFunc(patterns, wanted) }

// plain are the patterns without the "!".
func plain(patterns []string) []string {
	var all []string
	for _, p := range patterns {
		all = append(all, strings.TrimPrefix(p, "!"))
	}
	return all
}

// inside checks that paths stay in the application's directory, which is all that a build sees.
func (r *reader) inside(key string, paths []string) {
	for i, p := range paths {
		if !filepath.IsLocal(p) {
			r.fault(r.listed(key, i), "%q leaves the application's directory", p)
		}
	}
}

// root reads [root], and checks that nothing is asked for that only a compiler could do.
func (r *reader) root(m *Manifest) {
	t := r.table("root")
	if !r.has("root") {
		return
	}
	m.Root = &Root{Packages: t.list("packages"), Image: t.text("image", ""), Program: t.text("program", "")}
	t.packages("packages", m.Root.Packages)
	if t.has("image") {
		at := t.at("image")
		m.image = &at
		r.image(t, m.Root)
	}
	switch p := m.Root.Program; {
	case p == "" && t.has("program"): // it is of another kind
	case p == "" && t.has("image"): // its entry point
	case p == "":
		t.fault("", "[root] needs program, the path of the application in it")
	case !filepath.IsAbs(p) || filepath.Clean(p) != p || strings.ContainsAny(p, "\x00\n"):
		t.fault("program", "program: want an absolute path as /usr/bin/server, not %q", p)
	}
	if len(t.array("packages")) == 0 && !t.has("image") {
		t.fault("", "[root] needs packages or image, which have the files")
	}
	at := t.at("program")
	if !t.has("program") && t.has("image") {
		at = t.at("image")
	}
	m.program = &at
	t.done()
	for i, v := range m.Volumes {
		if v.IsRoot() {
			r.fault(r.listed("volumes", i), "volume %s: [root] is the root file system already", v)
		}
	}
	r.without("a program of [root] is neither compiled nor linked",
		"prebuilt", "build", "program", "objects", "packages", "source", "sources", "include",
		"cflags", "cxxflags", "ldflags", "libs", "unikernel")
}

// image checks the image of [root], which t is.
func (r *reader) image(t *reader, root *Root) {
	if t.has("packages") {
		t.fault("packages", "packages: the files of [root] are those of the image")
	}
	if root.Image == "" {
		return // it is of another kind
	}
	_, path, err := container.Split(root.Image)
	var bad *container.Bad
	switch {
	case errors.As(err, &bad):
		t.fault("image", "%v", bad)
		t.faults[len(t.faults)-1].Hint = bad.Help
	case !filepath.IsLocal(path):
		t.fault("image", "image %q: %q leaves the application's directory", root.Image, path)
	}
}

// prebuilt checks that the finished program is there, and that nothing is asked for that only a compiler could do.
func (r *reader) prebuilt(file string, dir fs.FS) {
	r.inside("prebuilt", []string{file})
	if dir != nil && filepath.IsLocal(file) {
		if fi, err := fs.Stat(dir, filepath.Clean(file)); err != nil || !fi.Mode().IsRegular() {
			r.fault("prebuilt", "there is no file %q", file)
		}
	}
	r.without("a prebuilt program is neither compiled nor linked",
		"build", "program", "objects", "source", "sources", "include",
		"cflags", "cxxflags", "ldflags", "libs", "unikernel")
}

// commands checks an application that builds itself.
func (r *reader) commands(m *Manifest) {
	if len(m.Build) == 0 {
		r.fault("build", "build: want at least one command")
	}
	switch {
	case r.has("objects"):
		r.inside("objects", plain(m.Objects))
		for i, o := range m.Objects {
			if filepath.Ext(o) != ".o" {
				r.fault(r.listed("objects", i), "%q does not name relocatable files, which end in .o; ld -r --whole-archive makes one from "+
					"an archive", o)
			}
		}
		if !wants(m.Objects) {
			r.fault("objects", "objects: want at least one file or pattern")
		}
		r.without("ukl links the objects itself: remove program", "program")
		r.without("build decides what is compiled", "sources", "include")
		return
	case m.Result == "":
		r.fault("build", "build needs program, the file that it makes, or objects")
	default:
		r.inside("program", []string{m.Result})
	}
	r.without("build decides what is compiled and linked", "sources", "include", "libs", "unikernel")
}

// without refuses keys that would have no effect.
func (r *reader) without(why string, keys ...string) {
	for _, key := range keys {
		if r.has(key) {
			r.fault(key, "%s: %s", key, why)
		}
	}
}

// NameOf makes a file's name one that an application can have.
func NameOf(file string) string {
	name := strings.Map(func(c rune) rune {
		if isName("x" + string(c)) {
			return c
		}
		return '-'
	}, file)
	name = strings.TrimLeft(name, "+._-")
	if name == "" {
		name = "app"
	}
	return name[:min(len(name), longestName)]
}

// OfProgram is the manifest of a finished program that has none.
func OfProgram(file string) *Manifest {
	base := filepath.Base(file)
	return &Manifest{Name: NameOf(base), Prebuilt: base, Memory: qemu.DefaultMemory, CPUs: qemu.DefaultCPUs, Calls: Gate}
}

// OfImage is the manifest of a container image that has none, the file or directory base.
func OfImage(transport, base string) *Manifest {
	return &Manifest{
		Name: NameOf(strings.TrimSuffix(base, ".tar")), Root: &Root{Image: transport + ":" + base},
		Memory: qemu.DefaultMemory, CPUs: qemu.DefaultCPUs, Calls: Gate,
	}
}

// kinds are the extensions of sources that nixexprs/app.sh compiles.
var kinds = []string{".c", ".cc", ".cpp", ".cxx", ".C", ".S", ".s"}

// IsSource tells whether a file's name is that of a source that ukl compiles.
func IsSource(file string) bool { return slices.Contains(kinds, filepath.Ext(file)) }

// OfSource is the manifest of one source file without one: a program that uses no more than libc and libm.
func OfSource(file string) *Manifest {
	base := filepath.Base(file)
	source := base
	if !wanted(source) {
		source = "./" + source
	}
	return &Manifest{
		Name: NameOf(strings.TrimSuffix(base, filepath.Ext(base))), Sources: []string{source}, Libs: []string{"m"},
		Memory: qemu.DefaultMemory, CPUs: qemu.DefaultCPUs, Calls: Gate,
	}
}

// IsPackage tells whether Debian could have a package of that name.
func IsPackage(name string) bool {
	const begin = "abcdefghijklmnopqrstuvwxyz0123456789"
	return len(name) > 1 && strings.Trim(name, begin+"+.-") == "" && strings.ContainsAny(name[:1], begin)
}

func (r *reader) packages(key string, names []string) {
	for i, n := range names {
		if !IsPackage(n) {
			r.fault(r.listed(key, i), "%q is not the name of a Debian package", n)
		}
	}
}

// option is a line of kernel configuration. Modules (=m) have no file system to be loaded from.
var option = regexp.MustCompile(`^CONFIG_[A-Z0-9_]+=(y|n|-?[0-9]+|0x[0-9a-fA-F]+|"[^"\\]*")$`)

func (r *reader) configuration(key string, lines []string) {
	for i, l := range lines {
		key := r.listed(key, i)
		switch {
		case strings.HasSuffix(l, "=m"):
			r.fault(key, "%s: the kernel loads no modules: want =y", l)
		case !option.MatchString(l):
			r.fault(key, "%q is not a line of kernel configuration: want CONFIG_NAME=y, n, a number, or a \"string\"", l)
		case l == "CONFIG_RING0_PROCESS=n":
			r.fault(key, "%s: a unikernel needs this option; to compare with an ordinary process, use --mode process", l)
		}
	}
}

// limit is a size of up to some petabytes, which fits into 63 bits.
var limit = regexp.MustCompile(`^[1-9][0-9]{0,6}[MG]$`)

// archive reads [source].
func (r *reader) archive(m *Manifest, dir fs.FS) {
	t := r.table("source")
	a := pins.Archive{URL: t.text("url", ""), SHA256: t.text("sha256", "")}
	m.Patches = t.list("patches")
	m.Limit = t.text("limit", "")
	if t.has("limit") && !limit.MatchString(m.Limit) {
		t.fault("limit", "limit: want a size such as \"900M\" or \"8G\", not %q", m.Limit)
	}
	t.done()
	if !r.has("source") {
		return
	}
	m.Archive = &a
	at := r.at("source")
	m.source = &at
	for _, key := range []string{"url", "sha256"} {
		if !t.has(key) {
			t.fault("", "[source] needs %s", key)
		}
	}
	if err := pins.CheckURL(a.URL); err != nil && t.has("url") {
		t.fault("url", "%v", err)
	}
	if err := pins.CheckHash(a.SHA256); err != nil && t.has("sha256") {
		t.fault("sha256", "%v", err)
	}
	if len(m.Patches) > 0 {
		t.files("patches", m.Patches, dir)
	}
}

// files checks that every pattern fits a file.
func (r *reader) files(key string, patterns []string, dir fs.FS) {
	all := plain(patterns)
	r.inside(key, all)
	for i, p := range all {
		if dir == nil || !filepath.IsLocal(p) {
			continue
		}
		key := r.listed(key, i)
		found, err := fs.Glob(dir, filepath.Clean(p))
		switch {
		case err != nil:
			r.fault(key, "%q is not a valid pattern", p)
		case len(found) == 0:
			r.fault(key, "no file matches %q", p)
		}
	}
	if !wants(patterns) {
		r.fault(key, "an application needs at least one source file")
	}
}

// test reads the nth [[test]]; port is where it sends unless it says so.
func (r *reader) test(n, port int) Test {
	t := Test{
		Name:   r.text("name", fmt.Sprint(n)),
		Args:   r.list("args"),
		Port:   r.integer("port", port, 0, 65535),
		Send:   r.text("send", ""),
		Expect: r.text("expect", ""),
		Status: r.integer("status", -1, -1, 255),
	}
	r.done()
	if t.Expect == "" && t.Status < 0 {
		r.fault("", "the test checks nothing: add expect or status")
	}
	return t
}

// MaxCPUs is how many CPUs the application's kernel has room for: its lines of configuration may lower the number.
func (m *Manifest) MaxCPUs() int {
	most := qemu.MaxCPUs
	for _, line := range m.Kernel {
		if value, ok := strings.CutPrefix(line, "CONFIG_NR_CPUS="); ok {
			if n, err := strconv.ParseInt(value, 0, 32); err == nil && n > 0 {
				most = min(int(n), qemu.MaxCPUs)
			}
		}
	}
	if slices.Contains(m.Kernel, "CONFIG_SMP=n") {
		return 1
	}
	return most
}

// HasTerminals tells whether the application's kernel has pseudo-terminals: its lines of configuration may leave them
// out.
func (m *Manifest) HasTerminals() bool {
	return !slices.Contains(m.Kernel, "CONFIG_UNIX98_PTYS=n") && !slices.Contains(m.Kernel, "CONFIG_TTY=n")
}

// Matches tells whether the application goes by a name.
func (m *Manifest) Matches(name string) bool {
	return name == m.Name || slices.Contains(m.Aliases, name)
}
