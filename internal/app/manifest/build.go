package manifest

import "encoding/json"

// fields are what a build reads of a manifest, with the keys of ukl.toml. nixexprs/manifest.nix has the same.
type fields struct {
	Name      string     `json:"name"`
	Prebuilt  string     `json:"prebuilt,omitempty"`
	Build     []string   `json:"build,omitempty"`
	Program   string     `json:"program,omitempty"`
	Objects   []string   `json:"objects,omitempty"`
	Packages  []string   `json:"packages,omitempty"`
	Root      *root      `json:"root,omitempty"`
	Source    *source    `json:"source,omitempty"`
	Sources   []string   `json:"sources,omitempty"`
	Include   []string   `json:"include,omitempty"`
	CFlags    []string   `json:"cflags,omitempty"`
	CXXFlags  []string   `json:"cxxflags,omitempty"`
	LDFlags   []string   `json:"ldflags,omitempty"`
	Libs      []string   `json:"libs,omitempty"`
	Unikernel *unikernel `json:"unikernel,omitempty"`
	Kernel    *kernel    `json:"kernel,omitempty"`
}

type root struct {
	Packages []string `json:"packages,omitempty"`
	Tar      string   `json:"tar,omitempty"`
	Path     string   `json:"path,omitempty"`
	Program  string   `json:"program"`
}

type source struct {
	URL     string   `json:"url"`
	SHA256  string   `json:"sha256"`
	Patches []string `json:"patches,omitempty"`
	Limit   string   `json:"limit,omitempty"`
}

type unikernel struct {
	Calls Calls `json:"calls"`
}

type kernel struct {
	Config []string `json:"config"`
}

// Fields are what a build reads of the manifest, as JSON: equal ones make equal images from equal files. Nothing of a
// run is among them. tar is the archive in the store with the files of the image of [root], or something else that
// stands for them; "" without an image.
func (m *Manifest) Fields(tar string) ([]byte, error) {
	f := fields{
		Name: m.Name, Prebuilt: m.Prebuilt, Build: m.Build, Program: m.Result, Objects: m.Objects, Packages: m.Packages,
		Sources: m.Sources, Include: m.Include, CFlags: m.CFlags, CXXFlags: m.CXXFlags, LDFlags: m.LDFlags, Libs: m.Libs,
		Unikernel: &unikernel{m.Calls},
	}
	if m.Root != nil {
		f.Root = &root{m.Root.Packages, tar, m.Root.Path, m.Root.Program}
	}
	if m.Archive != nil {
		f.Source = &source{m.Archive.URL, m.Archive.SHA256, m.Patches, m.Limit}
	}
	if m.Kernel != nil {
		f.Kernel = &kernel{m.Kernel}
	}
	return json.Marshal(f)
}
