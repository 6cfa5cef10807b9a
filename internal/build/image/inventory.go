package image

import (
	"path"
	"slices"

	"ukl/internal/app/apps"
	"ukl/internal/pin/pins"
	"ukl/internal/report/sbom"
	"ukl/internal/report/sizes"
	"ukl/nixexprs"
)

// runtime are the packages of the tools whose objects the compiler puts into every program.
func runtime() []string { return []string{"libgcc-12-dev", "libstdc++-12-dev"} }

// Inventory lists what an application's image is made of. Its own sources are not in it: they are the user's.
func Inventory(a apps.App) ([]sbom.Component, error) {
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return nil, err
	}
	own, err := pins.LoadOwn(a.Files, a.Dir, a.Packages, a.Archive)
	if err != nil {
		return nil, err
	}
	compiled := a.Program == ""
	commands := len(a.Build) > 0 && len(a.Objects) == 0 // they link with the tools' libc
	var list []sbom.Component
	add := func(p pins.Pin, r sbom.Role) {
		list = append(list, sbom.Component{Name: p.Name, Version: p.Version, SHA256: p.SHA256, Package: path.Base(p.Path), Role: r})
	}
	for _, p := range lock.All() {
		switch {
		case slices.Contains(p.Groups, "linux"), slices.Contains(p.Groups, "glibc") && compiled && !commands:
			add(p, sbom.Source)
		case !slices.Contains(p.Groups, "tools"):
		case compiled && slices.Contains(runtime(), p.Name), commands && p.Name == "libc6-dev":
			add(p, sbom.Linked)
		default:
			add(p, sbom.Tool)
		}
	}
	for _, p := range own.All() {
		if p.URL != "" {
			list = append(list, sbom.Component{Name: p.Name, SHA256: p.SHA256, Location: p.Address(), Role: sbom.Source})
			continue
		}
		add(p, sbom.Linked) // that a library was not used cannot be told
	}
	if !compiled {
		f, err := sizes.Look(a.Program)
		if err != nil {
			return nil, err
		}
		list = append(list, sbom.Component{Name: path.Base(a.Program), SHA256: f.SHA256, Role: sbom.Program})
	}
	return list, nil
}
