// Package stage names the stages of a build, in the order of the data. A stage is one derivation of nixexprs; its
// attribute there, its derivation's name and what a person reads of it are listed here and nowhere else.
package stage

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// builder is the store path of the stage0 that this program was built with, which thereby stays in the store. Set by
// nixexprs/ukl.nix.
var builder string

// Builder returns the store path of stage0 that came with this program, "" in a program built by hand.
func Builder() string { return builder }

// source is the store path of the files of SourceFiles, in the checkout that this program was built from. Set by
// nixexprs/ukl.nix.
var source string

// SourceFiles are the files and directories of a checkout that the programs are made of that begin each build, stage0
// and what lays out Go, with their licences. nixexprs/go-cache.nix and go-run.nix compile them.
func SourceFiles() []string {
	return []string{
		"go.mod", "go.sum", "LICENSE", "LICENSES", "cmd/stage0", "internal/build/sandbox", "internal/pin/deb",
		"internal/pin/tree", "internal/pin/toolchain",
	}
}

// Source returns the directory with SourceFiles. For a program built by hand that is the checkout that the compiler
// read; an error if it is not there.
func Source() (string, error) {
	if source != "" {
		return source, nil
	}
	if _, file, _, ok := runtime.Caller(0); ok {
		checkout := filepath.Join(filepath.Dir(file), "../../..")
		if _, err := os.Stat(filepath.Join(checkout, "cmd/stage0")); err == nil {
			return checkout, nil
		}
	}
	return "", errors.New("this ukl does not know the source of its first builder: it was built by hand, and its checkout is gone")
}

// Stage is one derivation.
type Stage struct {
	Attr  string // in nixexprs/default.nix
	Name  string // of the derivation; those of an app go on with "-" and the app's name
	Title string // for people
	App   bool   // depends on the app
	Fixed bool   // the hash of its content is in the lock
	// not every image needs it: the other modes; packages, third-party source and lines of configuration of an app;
	// files of a run
	Aside bool
}

// All are the stages in the order in which data passes through them.
var All = []Stage{
	{Attr: "stage0", Name: "stage0", Title: "first builder", Fixed: true},
	{Attr: "tools", Name: "tree-tools", Title: "build tools", Fixed: true},
	{Attr: "qemu", Name: "tree-qemu", Title: "QEMU", Fixed: true},
	{Attr: "data", Name: "tree-data", Title: "certificates and time zones, unpacked", Fixed: true},
	{Attr: "squashfs", Name: "tree-squashfs", Title: "tools for root file systems", Fixed: true, Aside: true},
	{Attr: "linux-source", Name: "linux-source", Title: "Linux source"},
	{Attr: "linux-config", Name: "linux-config", Title: "Linux configuration", Aside: true},
	{Attr: "linux-objects", Name: "linux-objects", Title: "Linux objects"},
	{Attr: "glibc-source", Name: "glibc-source", Title: "glibc source"},
	{Attr: "glibc", Name: "glibc", Title: "glibc"},
	{Attr: "packages", Name: "packages", Title: "packages", App: true, Aside: true},
	{Attr: "upstream", Name: "upstream", Title: "source", App: true, Aside: true},
	{Attr: "rootfs", Name: "rootfs", Title: "root file system", App: true, Aside: true},
	{Attr: "app", Name: "app", Title: "app", App: true},
	{Attr: "link", Name: "link", Title: "link", App: true},
	{Attr: "image", Name: "image", Title: "image", App: true},
	{Attr: "process-source", Name: "process-source", Title: "process mode's Linux source", Aside: true},
	{Attr: "process-kernel", Name: "process-kernel", Title: "process mode's Linux", Aside: true},
	{Attr: "distro-kernel", Name: "distro-kernel", Title: "Debian's Linux, unpacked", Aside: true},
	{Attr: "files", Name: "files", Title: "certificates and time zones", Aside: true},
	{Attr: "boot", Name: "boot", Title: "boot sector", Aside: true},
	{Attr: "shell", Name: "shell", Title: "shell", Aside: true},
	{Attr: "profile", Name: "profile", Title: "QEMU's plugin that counts", Aside: true},
	{Attr: "process-root", Name: "root", Title: "process", App: true, Aside: true},
}

// Of finds the stage of a derivation by its name. Packages and other inputs are no stage.
func Of(derivation string) (Stage, bool) {
	for _, s := range All {
		if !s.App && derivation == s.Name || s.App && strings.HasPrefix(derivation, s.Name+"-") {
			return s, true
		}
	}
	return Stage{}, false
}
