package pins

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ukl/internal/host/folders"
	"ukl/internal/host/lifeline"
)

// suite is Debian's release; its security archive is part of it here.
const suite = "bookworm"

// keyring is where Debian, and its kin that have debian-archive-keyring, keep the keys of its archives.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// NoApt says that this machine cannot ask for the newest packages.
type NoApt struct{ Reason error }

func (e *NoApt) Error() string {
	return fmt.Sprintf("ukl needs apt to look for packages: %v", e.Reason)
}

// Unwrap returns the reason.
func (e *NoApt) Unwrap() error { return e.Reason }

// Hint is the line that helps.
func (e *NoApt) Hint() string {
	if errors.Is(e.Reason, exec.ErrNotFound) {
		return "run it on Debian, or in a Debian container"
	}
	return "name a Debian mirror that this machine can reach: --mirror URL or " + MirrorEnv
}

// apt is the host's apt with package lists of its own, those of the suite and its security archive, as if nothing else
// were installed than what it is told. It needs no root. Package lists are the user's cache; one process at a time has
// them.
type apt struct {
	kind    string // of its lists: "deb" or "deb-src"
	dir     string
	lock    *os.File
	options []string
	bases   map[string]string // archive to address
}

// openApt prepares an apt. With refresh it fetches the lists' changes, else it takes them as they are; there must be
// some then. installed are the packages that it takes for installed. Close it.
func openApt(ctx context.Context, o Options, installed []Pin, refresh bool) (*apt, error) {
	if _, err := exec.LookPath("apt-get"); err != nil {
		return nil, &NoApt{err}
	}
	cache, err := folders.Cache()
	if err != nil {
		return nil, err
	}
	a := &apt{kind: "deb", dir: filepath.Join(cache, "ukl", "apt")}
	if err := a.open(ctx); err != nil {
		return nil, err
	}
	if err := a.prepare(ctx, o, installed, refresh); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// open takes the folder of the lists for this process alone.
func (a *apt) open(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(a.dir, "lists", "partial"), 0o755); err != nil {
		return err
	}
	var err error
	a.lock, err = lockFile(ctx, filepath.Join(a.dir, "lock"), nil)
	return err
}

func (a *apt) close() { a.lock.Close() }

func (a *apt) at(name string) string { return filepath.Join(a.dir, name) }

func (a *apt) prepare(ctx context.Context, o Options, installed []Pin, refresh bool) error {
	if err := a.configure(installed); err != nil {
		return err
	}
	if !refresh {
		return a.known()
	}
	return a.update(ctx, archives(o, hostMirrors(ctx)))
}

// configure writes what apt is told about this machine: that nothing but some packages is installed.
func (a *apt) configure(installed []Pin) error {
	a.options = []string{
		"-o", "Dir::State::lists=" + a.at("lists"),
		"-o", "Dir::State::status=" + a.at("status"),
		"-o", "Dir::Etc::SourceList=" + a.at("sources.list"),
		"-o", "Dir::Etc::SourceParts=/dev/null",
		"-o", "Dir::Etc::Preferences=" + a.at("preferences"),
		"-o", "Dir::Etc::PreferencesParts=/dev/null",
		"-o", "Dir::Cache=" + a.dir,
		"-o", "Dir::Cache::pkgcache=pkgcache.bin",
		"-o", "Dir::Cache::srcpkgcache=srcpkgcache.bin",
		"-o", "APT::Install-Recommends=false",
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Architectures::=amd64",
		"-o", "APT::Sandbox::User=root",
		"-o", "Acquire::ForceHash=SHA256", // that --print-uris prints
	}
	var status strings.Builder
	for _, p := range installed {
		arch := strings.TrimSuffix(p.Path[strings.LastIndexByte(p.Path, '_')+1:], ".deb")
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nArchitecture: %s\nVersion: %s\nMaintainer: "+
			"x\nDescription: x\n\n",
			p.Name, arch, p.Version)
	}
	preferences := ""
	for _, s := range []string{suite, suite + "-security"} {
		preferences += "Package: *\nPin: release n=" + s + "\nPin-Priority: 990\n\n"
	}
	return errors.Join(
		os.WriteFile(a.at("status"), []byte(status.String()), 0o644),
		os.WriteFile(a.at("preferences"), []byte(preferences), 0o644))
}

// update fetches the lists' changes from the archives at some addresses. Options of a line of sources.list may be
// added.
func (a *apt) update(ctx context.Context, bases map[string]string, options ...string) error {
	if a.bases = bases; a.bases == nil {
		return &NoApt{errors.New("the settings allow no mirror")}
	}
	if _, err := os.Stat(keyring); err == nil {
		options = append(options, "signed-by="+keyring)
	}
	begin := a.kind + " "
	if len(options) > 0 {
		begin += "[" + strings.Join(options, " ") + "] "
	}
	list := begin + a.bases[Main] + " " + suite + " main\n" + begin + a.bases[Security] + " " + suite + "-security main\n"
	if err := os.WriteFile(a.at("sources.list"), []byte(list), 0o644); err != nil {
		return err
	}
	_, err := a.output(ctx, "apt-get", "update", "-q", "--error-on=any",
		"-o", "Acquire::Languages=none", "-o", "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
		"-o", "APT::Update::Post-Invoke-Success::=", "-o", "APT::Update::Post-Invoke::=")
	if err != nil && ctx.Err() == nil {
		return &NoApt{err}
	}
	return err
}

// archives are the addresses of main and security that the newest packages are looked for at; nil is none.
func archives(o Options, host []hostMirror) map[string]string {
	first := func(security bool) string {
		for _, m := range host {
			if m.rank() < 2 && m.security() == security {
				return m.address
			}
		}
		return ""
	}
	base := strings.TrimSuffix(o.Mirror, "/")
	if base != "" && o.Mirror != NoMirror {
		return map[string]string{Main: base, Security: archiveAt(base, Security)}
	}
	if base = first(false); base == "" && !o.NoPublic && o.Mirror != NoMirror {
		base = DefaultMirror
	}
	if base == "" {
		return nil
	}
	security := first(true)
	if security == "" {
		security = archiveAt(base, Security)
	}
	return map[string]string{Main: base, Security: security}
}

// errNoLists says that nobody has looked for the newest packages yet.
var errNoLists = errors.New("no package lists were fetched yet")

// known reads which lists there are.
func (a *apt) known() error {
	text, err := os.ReadFile(a.at("sources.list"))
	if err != nil || a.made().IsZero() {
		return errNoLists
	}
	a.bases = map[string]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		archive := Main
		if strings.HasSuffix(f[len(f)-2], "-security") {
			archive = Security
		}
		a.bases[archive] = f[len(f)-3]
	}
	return nil
}

// made is when the archive made the newest of the lists.
func (a *apt) made() time.Time {
	var newest time.Time
	files, _ := filepath.Glob(a.at("lists/*Release")) // the pattern is right
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil && fi.ModTime().After(newest) {
			newest = fi.ModTime()
		}
	}
	return newest
}

// aptCommand is a program of apt's that speaks English. It ends with ctx and does not outlive ukl, and neither do the
// transports that it starts. Package lifeline starts it.
func aptCommand(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := lifeline.Command(ctx, program, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

func (a *apt) output(ctx context.Context, tool string, args ...string) ([]byte, error) {
	cmd := aptCommand(ctx, tool, slices.Concat(a.options, args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := lifeline.Run(cmd)
	out := stdout.Bytes()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return out, fmt.Errorf("%s: %v: %s", tool, err, complaint(stderr.String()))
	}
	return out, nil
}

// complaint is the first error of apt's, which those after it repeat.
func complaint(stderr string) string {
	for line := range strings.Lines(stderr) {
		if text, ok := strings.CutPrefix(line, "E: "); ok {
			return strings.TrimSpace(text)
		}
	}
	return lastLine(stderr)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// closure returns the packages that installing names into the system would unpack.
func (a *apt) closure(ctx context.Context, names []string) (map[string]Package, error) {
	out, err := a.output(ctx, "apt-get", slices.Concat([]string{"install", "--yes", "--print-uris"}, names)...)
	if err != nil {
		return nil, err
	}
	return a.packages(string(out))
}

// newest returns the newest version of each of the packages, without what they need.
func (a *apt) newest(ctx context.Context, names []string) (map[string]Package, error) {
	out, err := a.output(ctx, "apt-get", slices.Concat([]string{"download", "--print-uris"}, names)...)
	if err != nil {
		return nil, err
	}
	return a.packages(string(out))
}

// needed returns the one package that another depends on: a meta package names the newest of its kind.
func (a *apt) needed(ctx context.Context, meta string) (string, error) {
	out, err := a.output(ctx, "apt-cache", "depends", "--important", meta)
	if err != nil {
		return "", err
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: "); ok {
			names = append(names, name)
		}
	}
	if len(names) != 1 || !isPackage(names[0]) {
		return "", fmt.Errorf("apt-cache: %s depends on %q: want one package", meta, names)
	}
	return names[0], nil
}

// renamed adds to the newest packages the successor of a pinned kernel, which has another name, under the kernel's own.
func (a *apt) renamed(ctx context.Context, p Pin, newest map[string]candidate) error {
	for part, meta := range kernels {
		if !slices.Contains(p.Groups, part) {
			continue
		}
		name, err := a.needed(ctx, meta)
		if err != nil {
			return err
		}
		if name == p.Name {
			continue
		}
		found, err := a.candidates(ctx, []string{name})
		if err != nil {
			return err
		}
		if c, ok := found[name]; ok {
			newest[p.Name] = c
		}
	}
	return nil
}

// packages reads the files of --print-uris that are packages: NAME_VERSION_ARCH.deb
func (a *apt) packages(text string) (map[string]Package, error) {
	files, err := a.files(text)
	if err != nil {
		return nil, err
	}
	found := map[string]Package{}
	for _, f := range files {
		name, rest, ok := strings.Cut(f.name, "_")
		if !ok {
			return nil, fmt.Errorf("apt-get: %q is no name of a package's file", f.name)
		}
		version, _, _ := strings.Cut(rest, "_")
		f.Version = strings.ReplaceAll(version, "%3a", ":")
		found[name] = f.Package
	}
	return found, nil
}

// file is one that apt would fetch.
type file struct {
	name string // that apt gives it
	Package
}

// files reads the lines of --print-uris: 'ADDRESS/PATH' NAME SIZE SHA256:HEX
func (a *apt) files(text string) ([]file, error) {
	var list []file
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 4 || !strings.HasPrefix(line, "'") {
			continue
		}
		unread := fmt.Errorf("apt-get: cannot read %q", strings.TrimSpace(line))
		size, err := strconv.ParseInt(f[2], 10, 64)
		hash, sha256 := strings.CutPrefix(f[3], "SHA256:")
		address, uerr := url.PathUnescape(strings.Trim(f[0], "'"))
		if err != nil || !sha256 || uerr != nil {
			return nil, unread
		}
		p := Package{SHA256: hash, Size: size}
		for _, archive := range []string{Main, Security} {
			if path, ok := strings.CutPrefix(address, a.bases[archive]+"/"); ok {
				p.Path, p.Archive = path, archiveOf(path)
			}
		}
		if p.Path == "" {
			return nil, unread
		}
		list = append(list, file{f[1], p})
	}
	return list, nil
}

// candidate is the newest version of a package, and its archive.
type candidate struct{ version, archive string }

// candidates returns what apt would upgrade installed packages to; those that are the newest are not among them.
func (a *apt) candidates(ctx context.Context, names []string) (map[string]candidate, error) {
	out, err := a.output(ctx, "apt-cache", slices.Concat([]string{"policy"}, names)...)
	if err != nil {
		return nil, err
	}
	found := map[string]candidate{}
	var name, installed, newest string
	table := false // within the lines of the newest version
	sc := bufio.NewScanner(bytes.NewReader(out))
	for sc.Scan() {
		line := sc.Text()
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case !strings.HasPrefix(line, " "):
			name, installed, newest, table = strings.TrimSuffix(line, ":"), "", "", false
		case key == "Installed":
			installed = value
		case key == "Candidate":
			if newest = value; newest != installed {
				found[name] = candidate{newest, Main}
			}
		case strings.HasPrefix(line, " *** "), strings.HasPrefix(line, "     ") && !strings.HasPrefix(line, "      "):
			table = strings.Fields(strings.TrimPrefix(line, " ***"))[0] == newest
		case table && newest != installed && strings.Contains(line, suite+"-security/"):
			found[name] = candidate{newest, Security}
		}
	}
	return found, sc.Err()
}

// lockFile takes a file for this process alone; closing gives it back. wait is called once if another has it; it may be
// nil.
func lockFile(ctx context.Context, path string, wait func()) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if wait != nil {
			wait()
			wait = nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
