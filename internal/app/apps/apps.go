// Package apps finds the application that somebody means: one that came along, by name, or one of their own, by
// directory. The catalogue is read from the program itself; nothing is written until an application is to be built.
package apps

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/app/container"
	"ukl/internal/app/manifest"
	"ukl/internal/app/program"
	"ukl/internal/app/script"
	"ukl/internal/app/suggest"
	"ukl/internal/cli/exit"
	"ukl/internal/host/realpath"
	"ukl/internal/host/regular"
)

// App is one application.
type App struct {
	*manifest.Manifest
	// Short is the name that people type: for a bundled application its directory's.
	Short string
	// Dir is an absolute path; "" for a bundled application, which Arguments completes.
	// It is "" too for a file without a manifest.
	Dir     string
	Bundled bool
	// Files is the directory's content; nil for a file without a manifest.
	Files fs.FS
	// Contained is the absolute path of the container image that the application is by itself; "" for another one.
	Contained string
	// Source is the absolute path of the one source file that is the application; "" for another one.
	Source string
	// Script is the absolute path of the script that the bundled application runs, without links; "" is none. The guest
	// gets a copy, Inside. The first Fixed of the manifest's Args are the script's, whatever the command line has.
	Script string
	Fixed  int
	// Image is the container image that the root file system is made of; nil is none. Here, too, the first Fixed of Args
	// are there in any case: what its entry point has.
	Image *container.Image
	// Program is the absolute path of a finished program; "" for one that is compiled.
	Program string
	// Entry is used instead of the manifest's Calls; "" is none.
	Entry manifest.Calls
	// Flavour is a variant of the kernel; "" is none. Debug is one that looks for its own mistakes.
	Flavour Flavour
}

// Flavour names a file of the expressions, linux/FLAVOUR.config.
type Flavour string

// Debug is the kernel with lockdep, KASAN and checks of sleeping in atomic context: slow, and some 15 MiB bigger.
const Debug Flavour = "debug"

// Catalogue is the bundled applications.
type Catalogue struct {
	fs fs.FS // of nixexprs
}

// folder is where nixexprs has applications.
const folder = "apps"

// New reads the catalogue from the files of nixexprs.
func New(nixexprs fs.FS) Catalogue { return Catalogue{nixexprs} }

// List returns the bundled applications by name.
func (c Catalogue) List() ([]App, error) {
	entries, err := fs.ReadDir(c.fs, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []App
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		dir := path.Join(folder, e.Name())
		text, err := fs.ReadFile(c.fs, path.Join(dir, manifest.File))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sub, err := fs.Sub(c.fs, dir)
		if err != nil {
			return nil, err
		}
		m, err := manifest.Parse(text, manifest.Place{
			File: path.Join("nixexprs", dir, manifest.File), Base: e.Name(),
			FS: sub,
		})
		if err != nil {
			return nil, err
		}
		list = append(list, App{Manifest: m, Short: e.Name(), Bundled: true, Files: sub})
	}
	return list, nil
}

// Unknown is a word that names no application.
type Unknown struct{ Word, Suggestion string }

func (e *Unknown) Error() string { return fmt.Sprintf("there is no application %q", e.Word) }

// ExitCode is the code of a command that this ends.
func (*Unknown) ExitCode() exit.Code { return exit.NoInput }

// Hint is the line that helps.
func (e *Unknown) Hint() string {
	if e.Suggestion != "" {
		return fmt.Sprintf("did you mean %q? `ukl list` shows all; write a directory with a slash", e.Suggestion)
	}
	return "`ukl list` shows ukl's own; write your directory with a slash: ./" + e.Word
}

// Find returns the application that a word of the command line means. A word with a slash, "." and ".." are
// directories, or files: finished programs, sources that are an application by themselves, and scripts, which a bundled
// application runs. Another is a bundled application's name, alias, or else a directory that has a manifest, or a file.
// "" is the current directory.
func (c Catalogue) Find(word string) (App, error) {
	if word == "" {
		word = "."
	}
	if container.Is(word) {
		return contained(word)
	}
	if word == "." || word == ".." || strings.ContainsRune(word, '/') {
		return c.own(word)
	}
	list, err := c.List()
	if err != nil {
		return App{}, err
	}
	var names []string
	for _, a := range list {
		if word == a.Short || a.Matches(word) {
			return a, nil
		}
		names = append(names, a.Short)
	}
	if _, err := os.Stat(filepath.Join(word, manifest.File)); err == nil || program.Is(word) {
		return c.own(word)
	}
	if fi, err := os.Stat(word); err == nil && !fi.IsDir() {
		return c.own(word)
	}
	for _, a := range list {
		names = append(append(names, a.Name), a.Aliases...)
	}
	return App{}, &Unknown{word, suggest.Nearest(word, slices.Compact(names))}
}

// Runs tells whether a file is an application by itself.
func Runs(file string) bool {
	_, interpreted := script.Of(file)
	return interpreted || program.Is(file) || manifest.IsSource(file)
}

// own reads an application that did not come along.
func (c Catalogue) own(place string) (App, error) {
	abs, err := filepath.Abs(place)
	if err != nil {
		return App{}, err
	}
	switch fi, err := os.Stat(place); {
	case err != nil:
		return App{}, err
	case fi.IsDir():
	case filepath.Base(place) == manifest.File:
		place, abs = filepath.Dir(place), filepath.Dir(abs)
	case manifest.IsSource(place) && !program.Is(place):
		return source(place)
	default:
		if by, ok := script.Of(place); ok {
			return c.script(place, by)
		}
		m := manifest.OfProgram(abs)
		if err := program.Check(place); err != nil {
			return App{}, err
		}
		abs, err = filepath.EvalSymlinks(abs) // Nix would copy the link
		return App{Manifest: m, Short: m.Name, Program: abs}, err
	}
	m, err := manifest.Load(place)
	if err != nil {
		return App{}, err
	}
	a := App{Manifest: m, Short: m.Name, Dir: abs, Files: regular.Dir(abs)}
	if m.Root != nil && m.Root.Image != "" {
		err := a.contain(place)
		var bad *container.Bad
		if errors.As(err, &bad) {
			return a, m.ImageError(bad.Error(), bad.Help)
		}
		return a, err
	}
	if m.Prebuilt != "" {
		a.Program = filepath.Join(abs, m.Prebuilt)
		err = program.Check(filepath.Join(place, m.Prebuilt))
	}
	return a, err
}

// source is the application that a source file is by itself.
func source(place string) (App, error) {
	f, err := regular.Open(place)
	if err != nil {
		return App{}, err
	}
	defer f.Close()
	abs, err := filepath.Abs(place)
	if err == nil {
		abs, err = filepath.EvalSymlinks(abs) // Nix would copy the link
	}
	if err != nil {
		return App{}, err
	}
	m := manifest.OfSource(abs)
	return App{Manifest: m, Short: m.Name, Source: abs}, nil
}

// script is a script with the application that runs it, in place of what that does by itself.
func (c Catalogue) script(place string, by script.Runner) (App, error) {
	a, err := c.Find(by.App)
	if err != nil {
		return App{}, err
	}
	if a.Script, err = realpath.Of(place); err != nil {
		return App{}, err
	}
	m := *a.Manifest
	m.Args = append(slices.Clone(by.Args), Inside(a.Script))
	m.Tests = nil
	a.Manifest, a.Fixed = &m, len(m.Args)
	return a, nil
}

// Inside is where the guest has a script.
func Inside(script string) string { return path.Join("/srv", filepath.Base(script)) }

// Argv are the application's arguments, with its name: those of the manifest, or args unless they are nil.
func (a App) Argv(args []string) []string {
	argv := append([]string{a.Called()}, a.Args[:a.Fixed]...)
	if args == nil {
		args = a.Args[a.Fixed:]
	}
	return append(argv, args...)
}

// Place is the directory or the file that the application is; "" for a bundled one.
func (a App) Place() string { return cmp.Or(a.Dir, a.Program, a.Source, a.Contained) }

// Arguments are what the expressions, extracted to nixexprs, get for the application.
func (a App) Arguments(nixexprs string) map[string]string {
	dir := a.Dir
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // Nix takes a link as it is, not what it leads to
	}
	args := map[string]string{"app": dir}
	switch {
	case a.Bundled:
		args["app"] = filepath.Join(nixexprs, folder, a.Short)
	case a.Contained != "":
		args = map[string]string{"app": filepath.Dir(a.Contained)} // of which the fields have all that is read
	case a.Source != "":
		args = map[string]string{"app": filepath.Dir(a.Source), "only": filepath.Base(a.Source)}
	case a.Dir == "":
		args = map[string]string{"program": a.Program, "name": a.Name}
	}
	if a.Entry != "" {
		args["calls"] = string(a.Entry)
	}
	if a.Flavour != "" {
		args["flavour"] = string(a.Flavour)
	}
	return args
}
