package apps

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/app/container"
	"ukl/internal/app/manifest"
	"ukl/internal/host/signalname"
)

// contained is the application that a container image is by itself.
func contained(ref string) (App, error) {
	transport, place, err := container.Split(ref)
	if err != nil {
		return App{}, err
	}
	abs, err := filepath.Abs(place)
	if err != nil {
		return App{}, err
	}
	m := manifest.OfImage(transport, filepath.Base(abs))
	a := App{Manifest: m, Short: m.Name, Contained: abs}
	return a, a.contain(filepath.Dir(abs))
}

// contain fills in what the image of [root] says and ukl.toml, of a directory, does not: the entry point, its
// arguments, the environment, the user, the working directory. As with a container, other arguments replace the
// command, and another program both.
func (a *App) contain(dir string) error {
	i, err := container.Open(dir, a.Root.Image)
	if err != nil {
		return err
	}
	a.Image = i
	root, m := *a.Root, *a.Manifest
	m.Root, a.Manifest = &root, &m
	if root.Program == "" {
		entry, command := i.Config.Entrypoint, i.Config.Cmd
		if len(entry) == 0 && len(command) > 0 { // the command is the program, which arguments do not replace
			entry, command = command[:1], command[1:]
		}
		if len(entry) == 0 {
			return &container.Bad{
				Ref: root.Image, What: "it has neither an entry point nor a command",
				Help: "name the program in a ukl.toml: program of [root]",
			}
		}
		m.Root.Program = entry[0]
		if m.Args == nil {
			m.Args = command
		}
		m.Args = slices.Concat(entry[1:], m.Args)
		a.Fixed = len(entry) - 1
	}
	m.Env = environment(i.Config.Env, m.Env)
	for _, v := range m.Env {
		if list, ok := strings.CutPrefix(v, "PATH="); ok {
			m.Root.Path = list
		}
	}
	if m.User == "" {
		m.User = i.Config.User
	}
	if m.WorkDir == "" && i.Config.WorkingDir != "" {
		m.WorkDir = path.Clean("/" + i.Config.WorkingDir)
	}
	if word := i.Config.StopSignal; word != "" && m.StopSignal == 0 {
		var ok bool
		if m.StopSignal, ok = signalname.Parse(word); !ok {
			return &container.Bad{Ref: root.Image, What: fmt.Sprintf("its stop signal, %q, is none", word)}
		}
	}
	if m.User != "" {
		err = manifest.CheckUser(m.User)
	}
	if m.WorkDir != "" && err == nil {
		err = manifest.CheckDir(m.WorkDir)
	}
	if err != nil {
		return &container.Bad{Ref: root.Image, What: err.Error()}
	}
	return nil
}

// environment are the variables of an image, NAME=VALUE, with those of ukl.toml in their place.
func environment(image, own []string) []string {
	var list []string
	for _, v := range image {
		name, _, ok := strings.Cut(v, "=")
		if ok && !slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(o, name+"=") }) {
			list = append(list, v)
		}
	}
	return append(list, own...)
}
