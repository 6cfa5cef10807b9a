package guest

import (
	"strings"

	"ukl/internal/run/newc"
)

// fill appends files for the root, /etc and /run among them, and the application's arguments and environment and what
// is to be mounted, where the kernel looks for them before it starts the application. The archive is a newc cpio.
func (o *Options) fill(a *archive) error {
	fill := o.plain
	if o.layered() {
		fill = o.layers
	}
	root, err := fill(a)
	if err != nil {
		return err
	}
	a.add("ukl", 0o040755, nil)
	a.add("ukl/argv", 0o100600, terminated(o.Argv))
	a.add("ukl/env", 0o100600, terminated(environ(defaultEnv(), o.userEnv(), o.Env)))
	if o.Place != "" {
		a.add("ukl/app", 0o100600, terminated([]string{o.Place}))
	}
	if o.User != nil {
		a.add("ukl/user", 0o100600, terminated(o.User.numbers()))
	}
	if o.Dir != "" {
		a.add("ukl/cwd", 0o100600, terminated([]string{o.Dir}))
	}
	if err := root.bear(o.Machine.Volumes); err != nil {
		return err
	}
	if mounts := o.mounts(); mounts != "" {
		a.add("ukl/mounts", 0o100600, []byte(mounts))
	}
	a.add(newc.Trailer, 0, nil)
	return a.err
}

// plain appends what is in the root of a guest that has no volume there, or one that is written to.
func (o *Options) plain(a *archive) (*tree, error) {
	root := newTree(a, "")
	if err := root.addFiles(o.Files); err != nil {
		return nil, err
	}
	if err := root.addLinks(o.Machine.Volumes); err != nil {
		return nil, err
	}
	if err := root.addUsual(o.Usual); err != nil {
		return nil, err
	}
	o.addFurniture(root)
	return root, nil
}

func terminated(list []string) []byte {
	var b strings.Builder
	for _, s := range list {
		b.WriteString(s)
		b.WriteByte(0)
	}
	return []byte(b.String())
}
