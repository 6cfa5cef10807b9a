package guest

import (
	"bytes"
	"strings"

	"ukl/internal/run/newc"
)

// initrd is a newc cpio archive that holds files for the root, /etc and /run among them, and the application's
// arguments and environment and what is to be mounted, where the kernel looks for them before it starts the
// application.
func (o *Options) initrd() ([]byte, error) {
	var b bytes.Buffer
	fill := o.plain
	if o.layered() {
		fill = o.layers
	}
	root, err := fill(&b)
	if err != nil {
		return nil, err
	}
	entry(&b, "ukl", 0o040755, nil)
	entry(&b, "ukl/argv", 0o100600, terminated(o.Argv))
	entry(&b, "ukl/env", 0o100600, terminated(environ(defaultEnv(), o.Env)))
	if o.Place != "" {
		entry(&b, "ukl/app", 0o100600, terminated([]string{o.Place}))
	}
	if err := root.bear(o.Machine.Volumes); err != nil {
		return nil, err
	}
	if mounts := o.mounts(); mounts != "" {
		entry(&b, "ukl/mounts", 0o100600, []byte(mounts))
	}
	entry(&b, newc.Trailer, 0, nil)
	return b.Bytes(), nil
}

// plain appends what is in the root of a guest that has no volume there, or one that is written to.
func (o *Options) plain(b *bytes.Buffer) (*tree, error) {
	root := newTree(b, "")
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

// entry appends one member.
func entry(b *bytes.Buffer, name string, mode int, data []byte) {
	_ = newc.Write(b, name, mode, data) // a buffer takes everything
}
