// Package handover gathers what has to be handed on with an image: the source of every package that is in it, the
// patches, the configuration, and what builds it. A folder appears whole or not at all. It says what it does not hold.
package handover

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/otiai10/copy"

	"ukl/internal/app/apps"
	"ukl/internal/build/stage"
	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/internal/report/sbom"
)

// There says that a folder is there already. Begun tells that it has the name of one that is being made, and ukl did
// not begin it.
type There struct {
	Dir   string
	Begun bool
}

func (e *There) Error() string {
	if e.Begun {
		return e.Dir + " is there already, and no ukl source began it"
	}
	return e.Dir + " is there already"
}

// ExitCode is the code of a command that this ends.
func (*There) ExitCode() exit.Code { return exit.No }

// Hint is the line that helps.
func (e *There) Hint() string {
	if e.Begun {
		return "move it away, or name another directory"
	}
	return "name a directory that is not there"
}

// Contents is what a folder is made from.
type Contents struct {
	App         apps.App
	List        sbom.Image
	Pins        []pins.Pin // of the tools, the sources and the application
	Snapshots   []string   // times of the locks that they are from
	Config      string     // file with the kernel's configuration
	Expressions string     // directory
	Hash        string     // of the expressions
	Objects     string     // directory with the application's object files; "" is none
	Builder     fs.FS      // has stage.SourceFiles, and may have more
	WithApp     bool       // the application's own directory, too
	WithTools   bool       // the sources of the packages that only took part in the build, too
}

// Package is a package and the files that are its source.
type Package struct {
	Name    string   `json:"name"` // of the source package
	Version string   `json:"version"`
	Of      []string `json:"of"`    // components that are made from it
	Files   []string `json:"files"` // below the folder
}

// Result is what a folder holds.
type Result struct {
	Dir      string    `json:"dir"`
	Files    int       `json:"files"`
	Bytes    int64     `json:"bytes"`
	Packages []Package `json:"packages"`
}

// Options say where files may come from, and who hears of it.
type Options struct {
	Pins  pins.Options
	Fetch func(pins.Progress)
	Step  func(string) // what begins now
}

// Parts of a folder.
const (
	sourcesDir  = "sources"
	packagesDir = "packages"
	archivesDir = "archives"
	exprsDir    = "nixexprs"
	appsDir     = "apps" // of exprsDir
	objectsDir  = "objects"
	appDir      = "app"
)

// requestFile is in a folder that is being made, and says what for. No other file has its name.
const requestFile = ".ukl-source"

// partOf is the folder that is renamed to dir when all is in it.
func partOf(dir string) string { return filepath.Clean(dir) + ".part" }

// Free tells whether a folder can be made at dir.
func Free(dir string) error {
	if _, err := os.Lstat(dir); err == nil {
		return &There{Dir: dir}
	}
	part := partOf(dir)
	fi, err := os.Lstat(part)
	if err != nil {
		return nil
	}
	if fi.IsDir() {
		if _, err := os.Lstat(filepath.Join(part, requestFile)); err == nil {
			return nil
		}
		if files, err := os.ReadDir(part); err == nil && len(files) == 0 {
			return nil
		}
	}
	return &There{Dir: part, Begun: true}
}

// request names what a folder is made from: two calls whose folders could differ have different ones.
func (c Contents) request() (string, error) {
	text, err := json.Marshal(struct {
		List                        any
		Pins                        []pins.Pin
		Snapshots                   []string
		Hash                        string
		Short                       string
		Objects, WithApp, WithTools bool
	}{c.List.SPDX(), c.Pins, c.Snapshots, c.Hash, c.App.Short, c.Objects != "", c.WithApp, c.WithTools})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]) + "\n", nil
}

// begin makes the folder part. Of one that an interrupted call for the same request left, it keeps what was fetched,
// which is compared with its hashes again; of another request's it keeps nothing.
func (w *writer) begin(context.Context) error {
	request, err := w.request()
	if err != nil {
		return err
	}
	mark := filepath.Join(w.root, requestFile)
	before, err := os.ReadFile(mark)
	switch {
	case err == nil && string(before) == request:
		files, err := os.ReadDir(w.root)
		if err != nil {
			return err
		}
		for _, f := range files {
			if slices.Contains([]string{sourcesDir, packagesDir, archivesDir, requestFile}, f.Name()) {
				continue
			}
			if err := os.RemoveAll(filepath.Join(w.root, f.Name())); err != nil {
				return err
			}
		}
		return nil
	case err == nil:
		w.step("%s is of another request: starting afresh", w.root)
		if err := os.RemoveAll(w.root); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.MkdirAll(w.root, 0o755); err != nil {
		return err
	}
	return atomicfile.File(mark, []byte(request), 0o644)
}

// Write makes the folder dir.
func Write(ctx context.Context, dir string, c Contents, o Options) (*Result, error) {
	if err := Free(dir); err != nil {
		return nil, err
	}
	r := &Result{Dir: dir, Packages: []Package{}}
	w := &writer{Contents: c, o: o, root: partOf(dir), result: r}
	for _, step := range []func(context.Context) error{
		w.begin, w.sources, w.pinned, w.build, w.lists, w.readme, w.sums,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(filepath.Join(w.root, requestFile)); err != nil {
		return nil, err
	}
	return r, os.Rename(w.root, dir)
}

type writer struct {
	Contents
	o      Options
	root   string
	result *Result
}

func (w *writer) step(format string, args ...any) {
	if w.o.Step != nil {
		w.o.Step(fmt.Sprintf(format, args...))
	}
}

// wanted are the source packages of what is in the image, or may be. Those of kernel and libc are pins themselves.
func (c Contents) wanted() []Package {
	var list []Package
	for _, one := range c.List.Components {
		if one.Source == "" || one.Role == sbom.Source || one.Role == sbom.Tool && !c.WithTools {
			continue
		}
		i := slices.IndexFunc(list, func(p Package) bool {
			return p.Name == one.Source && p.Version == one.SourceVersion
		})
		if i < 0 {
			list, i = append(list, Package{Name: one.Source, Version: one.SourceVersion}), len(list)
		}
		list[i].Of = append(list[i].Of, one.Name)
	}
	slices.SortFunc(list, func(a, b Package) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return list
}

// sources brings the source packages.
func (w *writer) sources(ctx context.Context) error {
	wanted := w.wanted()
	var ask []pins.SourcePackage
	for _, p := range wanted {
		ask = append(ask, pins.SourcePackage{Name: p.Name, Version: p.Version})
	}
	w.step("asking apt for source packages: %d", len(ask))
	found, err := pins.ResolveSources(ctx, ask, w.Snapshots, w.o.Pins)
	if err != nil {
		return err
	}
	w.step("fetching it")
	for i, p := range found {
		name := p.Name + "_" + p.Version[strings.IndexByte(p.Version, ':')+1:] // without an epoch, like Debian's files
		dir := filepath.Join(w.root, sourcesDir, name)
		if err := pins.Download(ctx, dir, p.Files, w.o.Pins, w.o.Fetch); err != nil {
			return err
		}
		for _, f := range p.Files {
			wanted[i].Files = append(wanted[i].Files, path.Join(sourcesDir, name, path.Base(f.Path)))
		}
		slices.Sort(wanted[i].Files)
	}
	w.result.Packages = append(w.result.Packages, wanted...)
	return nil
}

// pinned brings the packages and archives that were compiled themselves.
func (w *writer) pinned(ctx context.Context) error {
	for _, c := range w.List.Components {
		if c.Role != sbom.Source {
			continue
		}
		i := slices.IndexFunc(w.Pins, func(p pins.Pin) bool { return p.SHA256 == c.SHA256 })
		if i < 0 {
			return fmt.Errorf("%s is no pin", c.Name)
		}
		p, folder := w.Pins[i], packagesDir
		name := path.Base(p.Path)
		if p.URL != "" {
			folder, name = archivesDir, p.Name
		}
		if err := w.bring(ctx, p, folder, name); err != nil {
			return err
		}
		files := []string{path.Join(folder, name)}
		if p.URL != "" {
			patches, err := w.patches(c)
			if err != nil {
				return err
			}
			files = append(files, patches...)
		}
		w.result.Packages = append(w.result.Packages, Package{
			Name: cmp.Or(c.Source, c.Name), Version: c.Version, Of: []string{c.Name}, Files: files,
		})
	}
	return nil
}

// patches copies those of the application that were applied to its archive: they are part of that one's source.
func (w *writer) patches(c sbom.Component) (files []string, err error) {
	for _, p := range c.Patches {
		text, err := fs.ReadFile(w.App.Files, p.File)
		if err != nil {
			return nil, err
		}
		name := path.Join(archivesDir, p.File)
		if err := os.MkdirAll(filepath.Dir(filepath.Join(w.root, name)), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(w.root, name), text, 0o644); err != nil {
			return nil, err
		}
		files = append(files, name)
	}
	return files, nil
}

// bring copies a pin from the store, or downloads it.
func (w *writer) bring(ctx context.Context, p pins.Pin, folder, name string) error {
	dir := filepath.Join(w.root, folder)
	stored := nix.Physical(p.StorePath())
	if _, err := os.Stat(stored); err == nil {
		return copyTo(stored, filepath.Join(dir, name))
	}
	if err := pins.Download(ctx, dir, []pins.Pin{p}, w.o.Pins, w.o.Fetch); err != nil {
		return err
	}
	if p.URL != "" {
		return os.Rename(filepath.Join(dir, p.FileName()), filepath.Join(dir, name))
	}
	return nil
}

// copyTo copies a file or directory, writable as files usually are.
func copyTo(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return copy.Copy(from, to, copy.Options{AddPermission: 0o644})
}

// expressions copies them without the applications that the image has nothing of.
func (w *writer) expressions() error {
	keep := ""
	if w.App.Bundled {
		keep = w.App.Short
	}
	all := filepath.Join(w.Expressions, appsDir)
	return copy.Copy(w.Expressions, filepath.Join(w.root, exprsDir), copy.Options{
		AddPermission: 0o644,
		Skip: func(_ os.FileInfo, from, _ string) (bool, error) {
			return filepath.Dir(from) == all && filepath.Base(from) != keep, nil
		},
	})
}

// builder writes the source of the first builder to where the expressions look for it.
func (w *writer) builder() error {
	for _, name := range stage.SourceFiles() {
		if err := fs.WalkDir(w.Builder, name, w.copyBuilder); err != nil {
			return err
		}
	}
	return nil
}

// copyBuilder writes one file of the first builder. Its tests build nothing.
func (w *writer) copyBuilder(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if d.IsDir() {
		if d.Name() == "testdata" || strings.HasSuffix(d.Name(), "test") {
			return fs.SkipDir
		}
		return nil
	}
	if strings.HasSuffix(name, "_test.go") {
		return nil
	}
	text, err := fs.ReadFile(w.Builder, name)
	if err != nil {
		return err
	}
	to := filepath.Join(w.root, name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// build copies what builds the image: the expressions with scripts, patches and lock, the first builder, the
// configuration, and the application's part.
func (w *writer) build(context.Context) error {
	w.step("copying what builds the image")
	if err := w.expressions(); err != nil {
		return err
	}
	if err := w.builder(); err != nil {
		return err
	}
	if err := copyTo(w.Config, filepath.Join(w.root, "config")); err != nil {
		return err
	}
	if w.Objects != "" {
		if err := copyTo(w.Objects, filepath.Join(w.root, objectsDir)); err != nil {
			return err
		}
	}
	if !w.WithApp {
		return nil
	}
	to := filepath.Join(w.root, appDir)
	if w.App.Files == nil {
		return copyTo(w.App.Program, filepath.Join(to, filepath.Base(w.App.Program)))
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.CopyFS(to, w.App.Files)
}

// lists writes the bills of materials.
func (w *writer) lists(context.Context) error {
	for name, list := range map[string]any{"sbom.spdx.json": w.List.SPDX(), "sbom.cdx.json": w.List.CycloneDX()} {
		text, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(w.root, name), append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	return nil
}

//go:embed README.tmpl
var readme string

// about is the data of README.tmpl.
type about struct {
	Contents
	Packages []Package
	Modules  []sbom.Component
	Images   []sbom.Component
	Unknown  bool
	Bundled  bool
}

func (w *writer) readme(context.Context) error {
	a := about{Contents: w.Contents, Packages: w.result.Packages, Unknown: !w.List.LinkKnown, Bundled: w.App.Bundled}
	for _, c := range w.List.Components {
		if c.Role == sbom.Module {
			a.Modules = append(a.Modules, c)
		}
		if c.Container {
			a.Images = append(a.Images, c)
		}
	}
	t, err := template.New("README").Funcs(template.FuncMap{"join": strings.Join, "dir": path.Dir}).Parse(readme)
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(w.root, "README"))
	if err != nil {
		return err
	}
	defer f.Close()
	if err := t.Execute(f, a); err != nil {
		return err
	}
	return f.Close()
}

// sumsFile has the SHA-256 of every other file, as sha256sum -c reads them.
const sumsFile = "SHA256SUMS"

func (w *writer) sums(ctx context.Context) error {
	var lines []string
	err := filepath.WalkDir(w.root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		rel, err := filepath.Rel(w.root, name)
		if err != nil || rel == sumsFile || rel == requestFile {
			return err
		}
		r, err := os.Open(name)
		if err != nil {
			return err
		}
		defer r.Close()
		h := sha256.New()
		n, err := io.Copy(h, r)
		lines = append(lines, hex.EncodeToString(h.Sum(nil))+"  "+rel+"\n")
		w.result.Files++
		w.result.Bytes += n
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.root, sumsFile), []byte(strings.Join(lines, "")), 0o644)
}
