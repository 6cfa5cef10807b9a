// Package image turns an application into a bootable image: it brings missing pins into the store, has Nix build what
// is missing, and remembers the result. When nothing has changed since, it starts no process and only looks whether the
// files are still there.
package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/app/apps"
	"ukl/internal/build/cache"
	"ukl/internal/build/stage"
	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/nix"
	"ukl/internal/host/realpath"
	"ukl/internal/host/scratch"
	"ukl/internal/pin/pins"
	"ukl/internal/report/treediff"
	"ukl/nixexprs"
)

// Store is what a build needs of Nix; *nix.Client is one.
type Store interface {
	pins.Store
	Instantiate(context.Context, nix.Request) (string, error)
	Plan(ctx context.Context, drv string) ([]string, error)
	Outputs(ctx context.Context, drv string) ([]string, error)
	Realise(ctx context.Context, drv, root string, events func(nix.Event)) (string, error)
	Check(ctx context.Context, drv string, events func(nix.Event)) error
}

// Progress is told what happens, from one goroutine at a time.
type Progress interface {
	Fetch(pins.Progress)
	Note(string)
	Build(nix.Event)
}

// Builder builds images. Its fields are set once, before use.
type Builder struct {
	Cache string                // directory for what is remembered, and for Nix's roots
	Open  func() (Store, error) // finds Nix, the first time that it is needed
	Pins  pins.Options
	// Free tells the free bytes where the store is; nil does not look.
	Free     func() (uint64, error)
	Progress Progress

	store Store
}

// Image is a built image. All paths are where the file system has them.
type Image struct {
	Path      string `json:"path"` // the store path
	Vmlinux   string `json:"vmlinux"`
	BzImage   string `json:"bzImage"`
	Config    string `json:"config"`
	SystemMap string `json:"systemMap"`
}

func newImage(path string) *Image {
	at := func(name string) string { return filepath.Join(nix.Physical(path), name) }
	return &Image{path, at("vmlinux"), at("bzImage"), at("config"), at("System.map")}
}

// there tells whether the image's files exist.
func (i *Image) there() bool { return i.Path != "" && exists(i.Vmlinux) && exists(i.BzImage) }

// NoBuilder says that the first stage is missing and cannot be made by this program.
type NoBuilder struct{ Path string }

func (e *NoBuilder) Error() string {
	return fmt.Sprintf("the first builder, %s, is not in the store", e.Path)
}

// Hint is the line that helps.
func (e *NoBuilder) Hint() string { return "./ukl, at the top of the repository, builds it" }

// NoSpace says that the disk has too little room for a build.
type NoSpace struct{ Have, Need uint64 }

func (e *NoSpace) Error() string {
	return fmt.Sprintf("the Nix store's disk has %d MB free, and this build needs %d MB", e.Have/1e6, e.Need/1e6)
}

// Build returns the image of an application.
func (b *Builder) Build(ctx context.Context, a apps.App) (*Image, error) {
	key, err := b.key(ctx, a)
	if err != nil {
		return nil, err
	}
	if i := newImage(recall(b.memo(a, attrImage), key)); i.there() {
		return i, nil
	}
	path, err := b.realise(ctx, a, attrImage, b.root(a, attrImage))
	if err != nil {
		return nil, err
	}
	i := newImage(path)
	if !i.there() {
		return nil, fmt.Errorf("%s holds no image", path)
	}
	b.remember(a, attrImage, key, path)
	b.keep(ctx, a)
	return i, nil
}

// Kernel returns the vmlinux of an application: the same as in its image, but there sooner, since nothing is
// compressed.
func (b *Builder) Kernel(ctx context.Context, a apps.App) (string, error) {
	return b.file(ctx, a, "vmlinux", attrLink, attrImage)
}

// ProcessKernel returns the vmlinux of process mode, which is the same for all applications.
func (b *Builder) ProcessKernel(ctx context.Context, a apps.App) (string, error) {
	return b.file(ctx, a, "vmlinux", attrProcessKernel)
}

// DistroKernel returns Debian's own kernel, and the initramfs with its drivers of ukl's machine. They are the same for
// all applications.
func (b *Builder) DistroKernel(ctx context.Context) (kernel, drivers string, err error) {
	dir, err := b.shared(ctx, attrDistroKernel)
	return filepath.Join(dir, "vmlinux"), filepath.Join(dir, "modules.cpio"), err
}

// ProcessRoot returns an initramfs in which an application is an ordinary process.
func (b *Builder) ProcessRoot(ctx context.Context, a apps.App) (string, error) {
	return b.file(ctx, a, "root.cpio", attrProcessRoot)
}

// Rootfs is the root file system of an application that names packages for one.
type Rootfs struct {
	Image string // of a disk with RootType on it, by a path without links
	Place string // where in it the application is
}

// RootType is the file system of a Rootfs, as the kernel calls it.
const RootType = "squashfs"

// Rootfs returns the root file system of an application; the zero value if it has none.
func (b *Builder) Rootfs(ctx context.Context, a apps.App) (Rootfs, error) {
	if a.Manifest == nil || a.Root == nil {
		return Rootfs{}, nil
	}
	place, err := b.file(ctx, a, "path", attrRootfs)
	if err != nil {
		return Rootfs{}, err
	}
	text, err := os.ReadFile(place)
	if err != nil {
		return Rootfs{}, err
	}
	// A store below somebody's home may be behind a link, and volumes are opened without following any.
	disk, err := realpath.Of(filepath.Join(filepath.Dir(place), "root.squashfs"))
	return Rootfs{disk, strings.TrimSuffix(string(text), "\n")}, err
}

// Look tells what is at a path of the root file system: its type, and where it leads if it is a link. Directories that
// are empty do not count.
func (r Rootfs) Look() (func(path string) (fs.FileMode, string, error), error) {
	dir := filepath.Dir(r.Image)
	list, err := os.ReadFile(filepath.Join(dir, "files"))
	if err != nil {
		return nil, err
	}
	links, err := os.ReadFile(filepath.Join(dir, "links"))
	if err != nil {
		return nil, err
	}
	modes, targets := map[string]fs.FileMode{"/": fs.ModeDir}, map[string]string{}
	add := func(name string, mode fs.FileMode) {
		modes[name] = mode
		for up := filepath.Dir(name); up != "/" && modes[up] == 0; up = filepath.Dir(up) {
			modes[up] = fs.ModeDir
		}
	}
	for line := range strings.Lines(string(list)) {
		if parts := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3); len(parts) == 3 {
			add(parts[2], 0)
		}
	}
	lines := strings.Split(string(links), "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		add(lines[i], fs.ModeSymlink)
		targets[lines[i]] = lines[i+1]
	}
	return func(path string) (fs.FileMode, string, error) {
		mode, ok := modes[path]
		if !ok {
			return 0, "", fs.ErrNotExist
		}
		return mode, targets[path], nil
	}, nil
}

// Accounts reads /etc/passwd or /etc/group of the root file system; nil if it has none.
func (r Rootfs) Accounts(path string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(r.Image), filepath.Base(path)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// Contents are the files of the root file system, how many bytes they have, and the packages with scripts that an
// installation would have run, and nobody has.
func (r Rootfs) Contents() (files int, bytes int64, scripts []string, err error) {
	list, err := os.ReadFile(filepath.Join(filepath.Dir(r.Image), "files"))
	if err != nil {
		return 0, 0, nil, err
	}
	for line := range strings.Lines(string(list)) {
		var mode, size int64
		if _, err := fmt.Sscanf(line, "%o %d ", &mode, &size); err != nil {
			return 0, 0, nil, fmt.Errorf("list of files: %q: %w", line, err)
		}
		files, bytes = files+1, bytes+size
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(r.Image), "scripts"))
	return files, bytes, strings.Fields(string(text)), err
}

// BootSector returns the boot sector of disks and CDs, which is the same for all applications.
func (b *Builder) BootSector(ctx context.Context, a apps.App) (string, error) {
	return b.file(ctx, a, "boot.bin", attrBoot)
}

// Files returns the directory with the files of guests that ask for some: Certificates and TimeZones, each a part of a
// root file system.
func (b *Builder) Files(ctx context.Context) (string, error) { return b.shared(ctx, attrFiles) }

// Profiler returns the plugin with which QEMU counts the instructions of a guest.
func (b *Builder) Profiler(ctx context.Context) (string, error) {
	dir, err := b.shared(ctx, attrProfile)
	return filepath.Join(dir, "count.so"), err
}

// Libc returns the directory with the static libc of applications in ring 0.
func (b *Builder) Libc(ctx context.Context) (string, error) {
	dir, err := b.shared(ctx, attrLibc)
	return filepath.Join(dir, "lib"), err
}

// shared returns the directory of what an attribute makes for all applications.
func (b *Builder) shared(ctx context.Context, attr string) (string, error) {
	root, key := filepath.Join(b.Cache, stages, attr), nixexprs.Hash()
	path := recall(root+memoSuffix, key)
	if path == "" || !exists(nix.Physical(path)) {
		var err error
		if path, err = b.realise(ctx, apps.App{}, attr, root); err != nil {
			return "", err
		}
		remember(root+memoSuffix, key, path)
	}
	return nix.Physical(path), nil
}

// Directories of Files.
const (
	Certificates = "certificates"
	TimeZones    = "timezones"
)

// Linked returns the application as it is linked into the image, with its symbols.
func (b *Builder) Linked(ctx context.Context, a apps.App) (string, error) {
	return b.file(ctx, a, "app", attrLink)
}

// file returns a file of what an attribute makes. What others have made that hold the same one will do as well.
func (b *Builder) file(ctx context.Context, a apps.App, name, attr string, others ...string) (string, error) {
	key, err := b.key(ctx, a)
	if err != nil {
		return "", err
	}
	for _, made := range append([]string{attr}, others...) {
		if path := recall(b.memo(a, made), key); path != "" {
			if file := filepath.Join(nix.Physical(path), name); exists(file) {
				return file, nil
			}
		}
	}
	path, err := b.realise(ctx, a, attr, b.root(a, attr))
	if err != nil {
		return "", err
	}
	file := filepath.Join(nix.Physical(path), name)
	if !exists(file) {
		return "", fmt.Errorf("%s holds no %s", path, name)
	}
	b.remember(a, attr, key, path)
	b.keep(ctx, a)
	return file, nil
}

// Attributes of nixexprs/default.nix that this package asks for by name.
const (
	attrImage = "image" // all files
	attrLink  = "link"  // vmlinux only
	attrApp   = "app"   // the application's objects, or its program
	attrQEMU  = "qemu"
	attrTools = "tools"

	attrUpstream = "upstream" // third-party source, unpacked
	attrRootfs   = "rootfs"   // root file system of packages

	attrConfig        = "linux-config"
	attrObjects       = "linux-objects"
	attrProcessKernel = "process-kernel"
	attrProcessRoot   = "process-root"
	attrDistroKernel  = "distro-kernel"

	attrBoot    = "boot"
	attrFiles   = "files"
	attrProfile = "profile"
	attrLibc    = libc
)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// kept are the stages that every application's build and run needs. What they are made from is not: it can be had
// again.
func kept() []string {
	return []string{"stage0", attrTools, attrQEMU, "linux-source", attrObjects, "glibc"}
}

// keep makes roots for the shared stages, and for the kernel of an application that has one of its own: no image refers
// to them, and a garbage collection would cost minutes. Nix is asked for their paths once for each version of what they
// are made from. It is best effort: nothing depends on it.
func (b *Builder) keep(ctx context.Context, a apps.App) {
	dir := filepath.Join(b.Cache, stages)
	if os.MkdirAll(dir, 0o755) != nil {
		return
	}
	for _, attr := range kept() {
		if b.hold(ctx, apps.App{}, attr, filepath.Join(dir, attr), nixexprs.Hash()) != nil {
			return
		}
	}
	if a.Manifest != nil && (len(a.Kernel) > 0 || a.Flavour != "") {
		_ = b.hold(ctx, a, attrObjects, b.root(a, attrObjects), kernelKey(a))
	}
}

// kernelKey names everything that an application's own kernel is made from.
func kernelKey(a apps.App) string {
	return fmt.Sprintf("%s %s %q", nixexprs.Hash(), a.Flavour, a.Kernel)
}

// hold makes a root for what an attribute makes, if it is there.
func (b *Builder) hold(ctx context.Context, a apps.App, attr, root, key string) error {
	path := recall(root+memoSuffix, key)
	if path == "" {
		var err error
		if path, err = b.output(ctx, a, attr, root); err != nil {
			return err
		}
		remember(root+memoSuffix, key, path)
	}
	if held, err := os.Readlink(root); err == nil && held == path || !exists(nix.Physical(path)) {
		return nil
	}
	_, err := b.store.Realise(ctx, path, root, func(nix.Event) {})
	return err
}

// stages is the folder of the cache with the roots of the shared stages.
const stages = "stages"

// output returns the path that an attribute is or will be at.
func (b *Builder) output(ctx context.Context, a apps.App, attr, root string) (string, error) {
	drv, err := b.instantiate(ctx, a, attr, root)
	if err != nil {
		return "", err
	}
	paths, err := b.store.Outputs(ctx, drv)
	if err != nil {
		return "", err
	}
	if len(paths) == 0 {
		return "", fmt.Errorf("%s has no output", drv)
	}
	return paths[0], nil
}

// Pieces are what an image is made of, and the images of applications: what a cache is for.
func (b *Builder) Pieces(ctx context.Context, list []apps.App) ([]cache.Piece, error) {
	var pieces []cache.Piece
	add := func(a apps.App, attr string) error {
		path, err := b.output(ctx, a, attr, "")
		if err != nil {
			return err
		}
		p := cache.Piece{Title: attr, Path: path}
		if slices.ContainsFunc(pieces, func(have cache.Piece) bool { return have.Path == path }) {
			return nil
		}
		if s, ok := stage.Of(nix.Name(path)); ok {
			p.Title = s.Title
		}
		if a.Manifest != nil {
			p.Title += " of " + a.Name
		}
		pieces = append(pieces, p)
		return nil
	}
	for _, attr := range kept() {
		if err := add(apps.App{}, attr); err != nil {
			return nil, err
		}
	}
	for _, a := range list {
		// An application's kernel may be one of its own.
		attrs := []string{attrObjects, "app", attrLink, attrImage}
		if a.Certificates || a.TimeZones {
			attrs = append(attrs, attrFiles)
		}
		if len(a.Packages) > 0 {
			attrs = append([]string{"packages"}, attrs...)
		}
		if a.Root != nil {
			attrs = append([]string{attrRootfs}, attrs...)
		}
		for _, attr := range attrs {
			if err := add(a, attr); err != nil {
				return nil, err
			}
		}
	}
	return pieces, nil
}

// QEMU returns the tree that holds the pinned QEMU.
func (b *Builder) QEMU(ctx context.Context) (string, error) { return b.tree(ctx, attrQEMU) }

// Tools returns the tree that holds the pinned tools, which has Locale.
func (b *Builder) Tools(ctx context.Context) (string, error) { return b.tree(ctx, attrTools) }

// Locale is the directory of C.UTF-8, in the tools and in each guest.
const Locale = "/usr/lib/locale/C.utf8"

// tree returns a tree of pinned packages.
func (b *Builder) tree(ctx context.Context, attr string) (string, error) {
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return "", err
	}
	path := lock.TreePath(attr)
	if exists(nix.Physical(path)) {
		return nix.Physical(path), nil
	}
	if path, err = b.realise(ctx, apps.App{}, attr, filepath.Join(b.Cache, stages, attr)); err != nil {
		return "", err
	}
	return nix.Physical(path), nil
}

// Differs says that a stage built twice is not the same.
type Differs struct {
	Stage         string // its title
	First, Second string // paths; Second is "" if Nix did not keep it
	Places        []treediff.Place
}

func (e *Differs) Error() string { return fmt.Sprintf("%s: two builds differ", e.Stage) }

// ExitCode is the code of a command that this ends.
func (*Differs) ExitCode() exit.Code { return exit.No }

// maxPlaces are the differences that are shown of two builds.
const maxPlaces = 10

// Details are the first places where the builds differ.
func (e *Differs) Details() []string {
	var lines []string
	for i, p := range e.Places {
		if i == maxPlaces {
			return append(lines, fmt.Sprintf("and %d more", len(e.Places)-maxPlaces))
		}
		lines = append(lines, p.String())
	}
	return lines
}

// Hint is the command that shows all of them.
func (e *Differs) Hint() string {
	if e.Second == "" {
		return ""
	}
	return fmt.Sprintf("diff -r %s %s", e.First, e.Second)
}

// Check builds stages once more and compares: the application's own, or all whose content the lock does not fix. It
// ends with the first that differs, as a *Differs.
func (b *Builder) Check(ctx context.Context, a apps.App, all bool) ([]string, error) {
	var checked []string
	for _, s := range stage.All {
		if !s.App && !all || s.Fixed || s.Aside {
			continue
		}
		drv, err := b.instantiate(ctx, a, s.Attr, "")
		if err != nil {
			return checked, err
		}
		path, err := b.store.Realise(ctx, drv, "", b.Progress.Build)
		if err != nil {
			return checked, err
		}
		err = b.store.Check(ctx, drv, b.Progress.Build)
		if failed := (*nix.BuildError)(nil); errors.As(err, &failed) && failed.Code == nix.NotDeterministic {
			return checked, differs(s.Title, path)
		}
		if err != nil {
			return checked, err
		}
		checked = append(checked, s.Title)
	}
	return checked, nil
}

func differs(title, path string) error {
	e := &Differs{Stage: title, First: nix.Physical(path)}
	second := nix.Again(e.First)
	if places, err := treediff.Find(e.First, second); err == nil {
		e.Second, e.Places = second, places
	}
	return e
}

// Derivation returns the path of the image's derivation, without building anything.
func (b *Builder) Derivation(ctx context.Context, a apps.App) (string, error) {
	return b.instantiate(ctx, a, attrImage, "")
}

func (b *Builder) open() error {
	if b.store != nil {
		return nil
	}
	s, err := b.Open()
	b.store = s
	return err
}

func (b *Builder) instantiate(ctx context.Context, a apps.App, attr, root string) (string, error) {
	drv, _, err := b.evaluate(ctx, a, attr, root)
	return drv, err
}

// evaluate returns the derivation of an attribute, and the pins that the application has itself.
func (b *Builder) evaluate(ctx context.Context, a apps.App, attr, root string) (string, *pins.Own, error) {
	if err := b.open(); err != nil {
		return "", nil, err
	}
	expr, err := nixexprs.Extract(b.Cache)
	if err != nil {
		return "", nil, err
	}
	r := nix.Request{Expr: expr, Attr: attr, Root: root}
	own := &pins.Own{}
	if a.Manifest != nil {
		if own, err = pins.LoadOwn(a.Files, a.Dir, a.Wants()); err != nil { // the expressions would say it worse
			return "", nil, err
		}
		r.Args = a.Arguments(expr)
		if r.Args["fields"], err = b.fields(ctx, a); err != nil {
			return "", nil, err
		}
		if r.Args["fields"] == "" {
			delete(r.Args, "fields")
		}
	}
	drv, err := b.store.Instantiate(ctx, r)
	return drv, own, err
}

// realise builds one attribute, with what it needs.
func (b *Builder) realise(ctx context.Context, a apps.App, attr, root string) (string, error) {
	lock, err := b.begin(ctx, root)
	if err != nil {
		return "", err
	}
	if a.Manifest != nil && len(a.Kernel) > 0 { // a refusal of its lines need not wait for what takes longer
		if _, err := b.build(ctx, lock, a, attrConfig, ""); err != nil {
			return "", err
		}
	}
	return b.build(ctx, lock, a, attr, root)
}

// build builds one attribute, after begin.
func (b *Builder) build(ctx context.Context, lock *pins.Lock, a apps.App, attr, root string) (string, error) {
	drv, own, err := b.evaluate(ctx, a, attr, root)
	if err != nil {
		return "", err
	}
	path, err := b.bring(ctx, lock, own, drv, root)
	return path, inManifest(a, err)
}

// fieldsFile is the file with what a build reads of an application's ukl.toml.
const fieldsFile = "fields.json"

// fields writes what a build reads of an application's ukl.toml, for Nix, and looks whether Nix can read the rest of
// its directory. It returns the file, "" for a program without a ukl.toml.
func (b *Builder) fields(ctx context.Context, a apps.App) (string, error) {
	if !a.Bundled && a.Dir+a.Source+a.Contained == "" {
		return "", nil
	}
	if a.Dir != "" {
		if err := walk(a.Dir, func(string, fs.FileInfo) error { return nil }); err != nil {
			return "", err
		}
	}
	file := b.root(a, fieldsFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	tar, err := b.flat(ctx, a)
	if err != nil {
		return "", err
	}
	text, err := a.Fields(tar)
	if err != nil {
		return "", err
	}
	return file, atomicfile.File(file, text, 0o644)
}

// flattened is the memo of an application with the archive that was made of its container image.
const flattened = "flattened"

// mostOfImage is what the files of a container image may have, in bytes.
const mostOfImage = 8 << 30

// flat returns the archive in the store with the files of an application's container image; "" without one.
func (b *Builder) flat(ctx context.Context, a apps.App) (path string, err error) {
	if a.Image == nil {
		return "", nil
	}
	memo := b.memo(a, flattened)
	if path := recall(memo, a.Image.Digest); path != "" {
		if missing, err := b.store.Invalid(ctx, []string{path}); len(missing) == 0 || err != nil {
			return path, err
		}
	}
	dir, done, err := scratch.Dir("image")
	if err != nil {
		return "", err
	}
	defer done()
	f, err := os.Create(filepath.Join(dir, "image.tar"))
	if err != nil {
		return "", err
	}
	err = a.Image.Flatten(f, mostOfImage)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	added, err := b.store.AddFixed(ctx, false, []string{f.Name()})
	if err != nil {
		return "", err
	}
	remember(memo, a.Image.Digest, added[0])
	return added[0], nil
}

// alone is the failed build of an application that is one source file.
type alone struct {
	*nix.BuildError
	source string
}

// Hint says what is missing most often.
func (e *alone) Hint() string {
	return "only " + e.source + " was there to compile; for a program of several files, `ukl init` writes a ukl.toml"
}

func (e *alone) Unwrap() error { return e.BuildError }

// inManifest is the error of a build where its application's ukl.toml is wrong: what Kconfig says of lines of [kernel],
// what the archive of [source] unpacks to, and what the packages of [root] do not have. Other errors stay as they are.
func inManifest(a apps.App, err error) error {
	failed := (*nix.BuildError)(nil)
	if a.Manifest == nil || !errors.As(err, &failed) {
		return err
	}
	if a.Source != "" {
		return &alone{failed, filepath.Base(a.Source)}
	}
	s, _ := stage.Of(failed.Stage)
	switch {
	case s.Attr == attrUpstream && a.Archive != nil:
		for _, l := range failed.Lines {
			if text, ok := strings.CutPrefix(l, "error: "); ok && strings.Contains(text, " unpacks to more than ") {
				text, _, _ = strings.Cut(text, ": ")
				return a.SourceError(text, "if you trust the archive, add to [source]: limit = \"8G\"")
			}
		}
		return err
	case s.Attr == attrRootfs && a.Root != nil:
		for _, l := range failed.Lines {
			if text, ok := strings.CutPrefix(l, "error: program of [root]: "); ok {
				return a.RootError(text)
			}
		}
		return err
	case s.Attr != attrConfig:
		return err
	}
	var texts []string
	hint := ""
	for _, l := range failed.Lines {
		text, ok := strings.CutPrefix(l, "error: ")
		if lines, help := strings.CutPrefix(text, "these lines help: "); help {
			hint = "add " + lines
		} else if ok {
			texts = append(texts, text)
		}
	}
	if texts == nil {
		return err
	}
	return a.KernelErrors(texts, hint)
}

// begin makes sure of all that comes before the first derivation.
func (b *Builder) begin(ctx context.Context, root string) (*pins.Lock, error) {
	if err := b.open(); err != nil {
		return nil, err
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return nil, err
	}
	if err := b.ready(ctx, lock); err != nil {
		return nil, err
	}
	return lock, os.MkdirAll(filepath.Dir(root), 0o755)
}

// bring builds a derivation, with the pins that it needs: those of the lock, and an application's own.
func (b *Builder) bring(ctx context.Context, lock *pins.Lock, own *pins.Own, drv, root string) (string, error) {
	plan, err := b.store.Plan(ctx, drv)
	if err != nil {
		return "", err
	}
	if err := b.room(plan); err != nil {
		return "", err
	}
	if missing := append(lock.InPlan(plan), own.InPlan(plan)...); len(missing) > 0 {
		o := b.Pins
		o.Note = b.Progress.Note
		if err := pins.Fetch(ctx, b.store, missing, o, b.Progress.Fetch); err != nil {
			return "", err
		}
	}
	return b.store.Realise(ctx, drv, root, b.Progress.Build)
}

// ready makes sure of the first builder, which only a checkout can build.
func (b *Builder) ready(ctx context.Context, lock *pins.Lock) error {
	path := lock.Stage0Path()
	if path == stage.Builder() {
		return nil
	}
	missing, err := b.store.Invalid(ctx, []string{path})
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return &NoBuilder{path}
	}
	return nil
}

// Sizes of stages on disk, while they are built and after, rounded up.
func space() map[string]uint64 {
	return map[string]uint64{
		"tree-tools": 700e6, "tree-qemu": 300e6,
		"linux-source": 1600e6, "linux-objects": 900e6,
		"glibc-source": 400e6, "glibc": 800e6,
		"app": 50e6, "link": 300e6, "image": 200e6,
		"process-source": 1600e6, "process-kernel": 900e6, "root": 50e6,
		"distro-kernel": 400e6,
		"packages":      1000e6, "upstream": 500e6,
		"tree-data": 5e6, "files": 2e6,
	}
}

// room looks whether the disk has room for a plan: a build that ends in the middle for want of it costs minutes.
func (b *Builder) room(plan []string) error {
	if b.Free == nil {
		return nil
	}
	var need uint64
	sizes := space()
	for _, drv := range plan {
		if s, ok := stage.Of(nix.Name(drv)); ok {
			need += sizes[s.Name]
		}
	}
	have, err := b.Free()
	if err == nil && have < need {
		return &NoSpace{have, need}
	}
	return nil // a file system that does not tell may have room
}

// Missing tells which stages a build would run, in order; none when the image is there.
func (b *Builder) Missing(ctx context.Context, a apps.App) ([]string, error) {
	drv, err := b.instantiate(ctx, a, attrImage, "")
	if err != nil {
		return nil, err
	}
	plan, err := b.store.Plan(ctx, drv)
	if err != nil {
		return nil, err
	}
	var titles []string
	for _, s := range stage.All {
		if slices.ContainsFunc(plan, func(drv string) bool { o, ok := stage.Of(nix.Name(drv)); return ok && o == s }) {
			titles = append(titles, s.Title)
		}
	}
	return titles, nil
}
