package image

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/app/apps"
	"ukl/internal/build/handover"
	"ukl/internal/build/stage"
	"ukl/internal/host/nix"
	"ukl/internal/pin/facts"
	"ukl/internal/pin/pins"
	"ukl/internal/report/linked"
	"ukl/internal/report/sbom"
	"ukl/internal/report/sizes"
	"ukl/nixexprs"
)

// linkedFile is the link stage's list of the object files in the program.
const linkedFile = "linked"

// librariesFile is its list of the shared libraries that the program needs (nixexprs/libraries.sh).
const librariesFile = "libraries"

// Materials lists what an application's image is made of. Licences whose text nobody has by name are read from the
// packages that are in the image; what the store lacks of them is fetched. What the application's own sources hold,
// nobody has looked at.
func (b *Builder) Materials(ctx context.Context, a apps.App, i *Image, version string) (sbom.Image, error) {
	list := sbom.Image{Name: a.Name, Version: version}
	file, err := sizes.Look(i.BzImage)
	if err != nil {
		return list, err
	}
	list.SHA256 = file.SHA256
	program, err := b.Linked(ctx, a)
	if err != nil {
		return list, err
	}
	m, err := b.materials(ctx, a, program)
	if err != nil {
		return list, err
	}
	list.Components, list.LinkKnown = m.components, m.known
	return list, nil
}

// Handover gathers what a folder with an image's sources is made from.
func (b *Builder) Handover(ctx context.Context, a apps.App, version string) (handover.Contents, error) {
	source, err := stage.Source()
	if err != nil {
		return handover.Contents{}, err
	}
	if strings.HasPrefix(source, pins.StoreDir) {
		source = nix.Physical(source)
	}
	c := handover.Contents{App: a, Builder: os.DirFS(source)}
	i, err := b.Build(ctx, a)
	if err != nil {
		return c, err
	}
	c.Config = i.Config
	if c.List, err = b.Materials(ctx, a, i, version); err != nil {
		return c, err
	}
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return c, err
	}
	own, err := pins.LoadOwn(a.Files, a.Dir, a.Wants())
	if err != nil {
		return c, err
	}
	c.Pins = slices.Concat(lock.ImagePins(), lock.Asked(a.Certificates, a.TimeZones), own.All())
	c.Snapshots = []string{lock.Snapshot}
	if own.Snapshot != "" && own.Snapshot != lock.Snapshot {
		c.Snapshots = append(c.Snapshots, own.Snapshot)
	}
	if c.Expressions, err = b.Expressions(); err != nil {
		return c, err
	}
	stage, err := b.file(ctx, a, ".", attrApp)
	if err != nil {
		return c, err
	}
	if dir := filepath.Join(stage, "objects"); exists(dir) {
		c.Objects = dir
	}
	return c, nil
}

// materials is what an inventory is made from, and its result.
type materials struct {
	app      apps.App
	lock     *pins.Lock
	all      []pins.Pin // those of the tools and sources, of files for the guest, then the application's own
	root     pins.Root  // of the application
	facts    *facts.Set
	parts    map[string]*taken // of packages, by their names
	contents linked.Contents
	known    bool // nothing else was linked into the program

	components []sbom.Component
}

// taken is what a link took of a package, by file.
type taken struct {
	files   map[string]*sbom.Part
	objects bool // not only code of headers
	shared  bool // shared libraries
}

func (b *Builder) materials(ctx context.Context, a apps.App, program string) (*materials, error) {
	m := &materials{app: a, parts: map[string]*taken{}}
	var err error
	if m.lock, err = pins.Load(nixexprs.FS); err != nil {
		return nil, err
	}
	own, err := pins.LoadOwn(a.Files, a.Dir, a.Wants())
	if err != nil {
		return nil, err
	}
	m.all = slices.Concat(m.lock.ImagePins(), m.lock.Asked(a.Certificates, a.TimeZones), own.All())
	m.root = own.Root
	if err := b.open(); err != nil {
		return nil, err
	}
	o := b.Pins
	o.Note = b.Progress.Note
	memory := filepath.Join(b.Cache, "facts")
	if m.facts, err = pins.Facts(ctx, b.store, m.all, memory, o, b.Progress.Fetch); err != nil {
		return nil, err
	}
	if err := m.look(program); err != nil {
		return nil, err
	}
	if err := m.list(program); err != nil {
		return nil, err
	}
	keys := m.texts()
	texts, err := pins.Texts(ctx, b.store, m.facts, m.all, keys, memory, o, b.Progress.Fetch)
	if err != nil {
		return nil, err
	}
	m.quote(texts)
	return m, nil
}

// look finds out what the program was linked from.
func (m *materials) look(program string) error {
	var err error
	if m.contents, err = linked.Inside(program); err != nil {
		return err
	}
	objects, known, err := linked.Objects(filepath.Join(filepath.Dir(program), linkedFile))
	if err != nil {
		return err
	}
	m.known = known || m.contents.Complete
	owners := m.owners()
	for _, o := range objects {
		name, ours := strings.CutPrefix(o.Path, libc+"/")
		switch {
		case ours:
			m.take(m.lock.Sources[libc], name, o)
		case !strings.HasPrefix(o.Path, "/usr/") && !strings.HasPrefix(o.Path, "/lib"): // of the application
		default:
			at := facts.Path(o.Path)
			if owner, ok := owners[at]; ok {
				m.take(owner, at, o)
			} else {
				m.known = false
			}
		}
	}
	libraries, _, err := linked.Objects(filepath.Join(filepath.Dir(program), librariesFile))
	if err != nil {
		return err
	}
	for _, l := range libraries { // the application's own have no owner
		at := facts.Path(l.Path)
		if owner, ok := owners[at]; ok {
			m.of(owner).files[at] = &sbom.Part{File: at, Bytes: l.Bytes}
			m.of(owner).shared = true
		}
	}
	if m.app.Program != "" {
		return nil
	}
	headers, err := linked.Headers(program)
	if err != nil {
		return err
	}
	for _, h := range headers {
		m.include(h, owners)
	}
	return nil
}

// libc is the name of the libc's stage, and of its source in the lock.
const libc = "glibc"

// include counts code of a header. The libc's headers are in a directory of their own, with the kernel's among them.
func (m *materials) include(header string, owners map[string]string) {
	at := facts.Path(header)
	owner, ok := owners[at]
	if name, ours := strings.CutPrefix(at, libc+"/include/"); ours {
		owner, ok = m.lock.Sources[libc], true
		for _, dir := range []string{"usr/include/", "usr/include/x86_64-linux-gnu/"} {
			if owners[dir+name] == "linux-libc-dev" {
				owner, at = "linux-libc-dev", dir+name
			}
		}
	}
	if !ok {
		return
	}
	t := m.of(owner)
	if t.files[at] == nil {
		t.files[at] = &sbom.Part{File: at, Header: true}
	}
}

// owners are the packages of the files that a compiler or linker can take. An application's own come last, so they win,
// as in its tree.
func (m *materials) owners() map[string]string {
	owners := map[string]string{}
	for _, p := range m.all {
		f := m.facts.Packages[p.SHA256]
		for _, name := range slices.Concat(slices.Collect(maps.Keys(f.Archives)), f.Objects, f.Headers, f.Shared) {
			owners[name] = p.Name
		}
	}
	return owners
}

func (m *materials) of(name string) *taken {
	if m.parts[name] == nil {
		m.parts[name] = &taken{files: map[string]*sbom.Part{}}
	}
	return m.parts[name]
}

func (m *materials) take(owner, file string, o linked.Object) {
	t := m.of(owner)
	t.objects = true
	p := t.files[file]
	if p == nil {
		p = &sbom.Part{File: file}
		t.files[file] = p
	}
	p.Bytes += o.Bytes
	if o.Member != "" {
		p.Members = append(p.Members, o.Member)
	}
}

// list makes the components.
func (m *materials) list(program string) error {
	for _, p := range m.all {
		c := sbom.Component{Name: p.Name, Version: p.Version, SHA256: p.SHA256, Role: sbom.Tool}
		if p.URL != "" {
			c.Role, c.Archive, c.Location, c.InProgram = sbom.Source, true, p.Address(), true
			_, c.Version = sbom.Release(p.Name, c.Location)
			var err error
			if c.Patches, err = m.patches(m.app.Files, "", "", m.app.Patches); err != nil {
				return err
			}
			m.components = append(m.components, c)
			continue
		}
		c.Package = path.Base(p.Path)
		f := m.facts.Packages[p.SHA256]
		c.Source, c.SourceVersion, c.Supplier, c.Homepage = f.Source, f.SourceVersion, f.Maintainer, f.Homepage
		c.Parts, c.Whole = m.partsOf(p.Name, f)
		if skip, err := m.role(&c, p, f); err != nil || skip {
			if err != nil {
				return err
			}
			continue
		}
		c.License = m.license(p)
		if c.Role != sbom.Tool {
			c.License.Concluded = concluded[c.Source]
		}
		m.components = append(m.components, c)
	}
	if i := m.app.Image; i != nil {
		m.components = append(m.components, sbom.Component{
			Name: i.Name, SHA256: strings.TrimPrefix(i.Digest, "sha256:"), Role: sbom.Data, Container: true,
		})
	}
	return m.program(program)
}

// role decides how a package took part. The libc's source is left out if the program has another libc.
func (m *materials) role(c *sbom.Component, p pins.Pin, f facts.Facts) (skip bool, err error) {
	t := m.parts[p.Name]
	compiled := m.app.Program == ""
	switch {
	case slices.Contains(p.Groups, "linux"):
		c.Role = sbom.Source
		c.Patches, err = m.patches(nixexprs.FS, "nixexprs/", "GPL-2.0-only", []string{"linux/patches/*.patch"})
	case slices.Contains(p.Groups, pins.Data), p.Name == pins.Locale, m.root.Packages[p.Name].SHA256 == p.SHA256:
		c.Role = sbom.Data
	case slices.Contains(p.Groups, libc):
		c.Role, c.InProgram = sbom.Source, true
		c.Patches, err = m.patches(nixexprs.FS, "nixexprs/", "LGPL-2.1-or-later", []string{"glibc/patches/*.patch"})
		return t == nil, err
	case t != nil && t.objects:
		c.Role, c.InProgram = sbom.Linked, true
	case t != nil && t.shared:
		c.Role = sbom.Shared
	case t != nil:
		c.Role, c.InProgram = sbom.Inlined, true
	case compiled && !m.known && len(f.Archives)+len(f.Objects)+len(f.Headers) > 0:
		c.Role, c.InProgram = sbom.Possible, true
	}
	return false, err
}

// program adds the application, and what it says of itself.
func (m *materials) program(program string) error {
	name, file := m.app.Name, program
	if m.app.Program != "" {
		name, file = path.Base(m.app.Program), m.app.Program
	}
	look, err := sizes.Look(file)
	if err != nil {
		return err
	}
	self := sbom.Component{Name: name, SHA256: look.SHA256, Role: sbom.Program}
	if i := slices.IndexFunc(m.contents.Modules, func(m linked.Module) bool { return m.Main }); i >= 0 {
		self.Version, self.Sum = m.contents.Modules[i].Version, m.contents.Modules[i].Sum
	}
	m.components = append(m.components, self)
	for _, module := range m.contents.Modules {
		if module.Main {
			continue // it is the application
		}
		kind := map[string]string{linked.Go: "golang", linked.Rust: "cargo"}[module.Language]
		m.components = append(m.components, sbom.Component{
			Name: module.Name, Version: module.Version, Sum: module.Sum, Role: sbom.Module,
			Module: kind, Public: module.Public, InProgram: true,
		})
	}
	return nil
}

// partsOf are the parts of a package in the program, by file. whole tells that they are all that its libraries have.
func (m *materials) partsOf(name string, f facts.Facts) (parts []sbom.Part, whole bool) {
	t := m.parts[name]
	if t == nil {
		return nil, false
	}
	took := 0
	for _, file := range slices.Sorted(maps.Keys(t.files)) {
		p := *t.files[file]
		p.Of = f.Archives[file]
		slices.Sort(p.Members)
		took += len(p.Members)
		parts = append(parts, p)
	}
	all := 0
	for _, n := range f.Archives {
		all += n
	}
	return parts, all > 0 && took >= all
}

// concluded are the licences of what is in images, where a copyright file is free text, or lists many for files that no
// image has. Linux: COPYING. glibc: README and LICENSES, for the library but for the few files that LICENSES names.
// GCC: the notices in libgcc's and libstdc++'s files. libxcrypt: LICENSING.
var concluded = map[string]string{
	"gcc-12":    "GPL-3.0-or-later WITH GCC-exception-3.1",
	"glibc":     "LGPL-2.1-or-later",
	"libxcrypt": "LGPL-2.1-or-later",
	"linux":     "GPL-2.0-only WITH Linux-syscall-note",
}

// documented are the facts that have a package's copyright file: another package's, where it has none of its own.
func (m *materials) documented(p pins.Pin) facts.Facts {
	f := m.facts.Packages[p.SHA256]
	for range 4 { // a package's directory may be a link to one that is a link
		if f.License != "" || f.Copied == "" {
			break
		}
		i := slices.IndexFunc(m.all, func(q pins.Pin) bool { return q.Name == f.Copied })
		if i < 0 {
			break
		}
		f = m.facts.Packages[m.all[i].SHA256]
	}
	return f
}

func (m *materials) license(p pins.Pin) sbom.License {
	f := m.documented(p)
	l := sbom.License{Declared: f.License, Texts: map[string]string{}}
	for ref, key := range f.Refs {
		l.Texts[ref] = key // until quote
	}
	return l
}

// texts are the keys of the texts that are to be quoted: those of what is in the image.
func (m *materials) texts() []string {
	var keys []string
	for _, c := range m.components {
		if c.Role != sbom.Tool {
			keys = slices.AppendSeq(keys, maps.Values(c.License.Texts))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// quote puts texts into the place of their keys. That of a tool, which is in no image, is only said where to find.
func (m *materials) quote(texts map[string]string) {
	for _, c := range m.components {
		for ref, key := range c.License.Texts {
			c.License.Texts[ref] = texts[key]
			if texts[key] == "" {
				c.License.Texts[ref] = fmt.Sprintf("It is in the copyright file of the packages of %s %s, and not quoted here.",
					c.Source, c.SourceVersion)
			}
		}
	}
}

// patches reads the patches that fit patterns, in their order.
func (m *materials) patches(files fs.FS, prefix, license string, patterns []string) ([]sbom.Patch, error) {
	var list []sbom.Patch
	for _, pattern := range patterns {
		names, err := fs.Glob(files, pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", pattern, err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(files, name)
			if err != nil {
				return nil, err
			}
			one, two := sha1.Sum(text), sha256.Sum256(text)
			list = append(list, sbom.Patch{
				File: prefix + name, Subject: subject(string(text), path.Base(name)), License: license,
				SHA1: hex.EncodeToString(one[:]), SHA256: hex.EncodeToString(two[:]),
			})
		}
	}
	return list, nil
}

// subject is what a mailed patch is about; another one has only its name.
func subject(text, name string) string {
	head, _, _ := strings.Cut(text, "\n\n")
	_, rest, ok := strings.Cut("\n"+head, "\nSubject: ")
	if !ok {
		return name
	}
	var words []string
	for i, line := range strings.Split(rest, "\n") {
		if i > 0 && !strings.HasPrefix(line, " ") {
			break
		}
		words = append(words, strings.Fields(line)...)
	}
	s := strings.Join(words, " ")
	if strings.HasPrefix(s, "[PATCH") {
		if _, after, ok := strings.Cut(s, "] "); ok {
			s = after
		}
	}
	return s
}
