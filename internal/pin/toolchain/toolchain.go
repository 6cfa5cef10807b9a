// Package toolchain lays out the Go toolchain and the Go modules as the lock has hashes of them: the toolchain as the
// files of the module golang.org/toolchain, and the modules as a module proxy. It knows the standard library alone,
// since the program nixexprs/go, which is run where there is no module yet, is made of it. It verifies nothing: the
// hashes in the lock do.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Module is the name of a version's toolchain for `go mod download`.
func Module(version string) string {
	return "golang.org/toolchain@v0.0.1-go" + version + ".linux-amd64"
}

// Archive is the name of the file that a version is published as.
func Archive(version string) string { return "go" + version + ".linux-amd64.tar.gz" }

// Lay copies goroot, which is what the archive of a release unpacks to, to the new directory out as the module of that
// release has it. Go's own cmd/distpack makes archive and module of the same files, by the rules that are repeated
// here.
func Lay(goroot, out string) error {
	return filepath.WalkDir(goroot, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(goroot, file)
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name {
			case "api", "doc", "misc", "test":
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s: not a regular file", file)
		}
		// A module cannot hold the go.mod of another one.
		if filepath.Base(name) == "go.mod" {
			name = filepath.Join(filepath.Dir(name), "_go.mod")
		}
		return copyFile(file, filepath.Join(out, name), mode(name))
	})
}

// Executable sets the mode bits that archives of modules do not carry, as the go command does when it first runs a
// toolchain.
func Executable(dir string) error {
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil || mode(name)&0o111 == 0 {
			return err
		}
		return os.Chmod(file, mode(name))
	})
}

func mode(name string) fs.FileMode {
	if strings.HasPrefix(name, "bin/") || strings.HasPrefix(name, "pkg/tool/") {
		return 0o755
	}
	return 0o644
}

// Command is a go command.
type Command struct {
	Path string   // "go" is that of PATH
	Env  []string // what its environment has besides, or instead of, that of this process
}

// Run runs it in dir and returns its stdout. The error has the last line of its stderr.
func (c Command) Run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), c.Env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		said := strings.TrimSpace(string(exit.Stderr))
		said = said[strings.LastIndexByte(said, '\n')+1:]
		return nil, fmt.Errorf("go %s: %s", strings.Join(args[:min(2, len(args))], " "), said)
	}
	return out, err
}

// Download brings the pristine files of a version's toolchain to a directory below the empty directory work, and
// returns it. The module cache of the host serves as a proxy only: a go command that ran in its toolchain has written
// to that.
func (c Command) Download(ctx context.Context, version, work string) (string, error) {
	where, err := c.Run(ctx, work, "env", "GOMODCACHE", "GOPROXY")
	if err != nil {
		return "", err
	}
	cache, proxy, _ := strings.Cut(strings.TrimSpace(string(where)), "\n")
	cache = filepath.Join(cache, "cache/download")
	fresh := filepath.Join(work, "modules")
	// No setting lets a toolchain off the checksum database, so what the host knows of that comes along.
	err = os.CopyFS(filepath.Join(fresh, "cache/download/sumdb"), os.DirFS(filepath.Join(cache, "sumdb")))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	c.Env = append(slices.Clone(c.Env), "GOMODCACHE="+fresh, "GOPROXY="+Proxy(cache)+","+proxy,
		"GOTOOLCHAIN=local", "GOFLAGS=-modcacherw", "GOWORK=off")
	if _, err := c.Run(ctx, work, "mod", "download", Module(version)); err != nil {
		return "", err
	}
	dir := filepath.Join(fresh, filepath.FromSlash(Module(version)))
	return dir, Executable(dir)
}

// Proxy is an entry of GOPROXY for a module proxy that is a directory.
func Proxy(dir string) string {
	address := url.URL{Scheme: "file", Path: dir}
	return strings.ReplaceAll(address.String(), ",", "%2C") // ends an entry
}

// Modules fetches what the go.sum of dir names, and copies it to the new directory out as a module proxy. dir is only
// read.
func (c Command) Modules(ctx context.Context, dir, out string) error {
	work, err := os.MkdirTemp("", "ukl-modules-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	for _, name := range []string{"go.mod", "go.sum"} {
		if err := copyFile(filepath.Join(dir, name), filepath.Join(work, name), 0o644); err != nil {
			return err
		}
	}
	sums, err := os.ReadFile(filepath.Join(work, "go.sum"))
	if err != nil {
		return err
	}
	// By name: without one the go command leaves out modules of which only a test of a module has need.
	download := []string{"mod", "download"}
	var files []string
	for line := range strings.Lines(string(sums)) {
		file, err := proxyFile(line)
		if err != nil {
			return err
		}
		files = append(files, file)
		if f := strings.Fields(line); strings.HasSuffix(file, ".zip") {
			download = append(download, f[0]+"@"+f[1])
		}
	}
	plain := Command{c.Path, append([]string{"GOFLAGS=", "GOWORK=off"}, c.Env...)}
	for _, args := range [][]string{download, {"mod", "graph"}} {
		if _, err := plain.Run(ctx, work, args...); err != nil {
			return err
		}
	}
	cache, err := plain.Run(ctx, work, "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	for _, file := range files {
		from := filepath.Join(strings.TrimSpace(string(cache)), "cache/download", file)
		if err := copyFile(from, filepath.Join(out, file), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// proxyFile is the place of a go.sum line's file in a module proxy; capitals are written "!" and lower case there.
func proxyFile(line string) (string, error) {
	f := strings.Fields(line)
	if len(f) != 3 {
		return "", fmt.Errorf("go.sum: cannot read %q", line)
	}
	var escaped strings.Builder
	for _, r := range f[0] {
		if 'A' <= r && r <= 'Z' {
			escaped.WriteByte('!')
			r += 'a' - 'A'
		}
		escaped.WriteRune(r)
	}
	version, isMod := strings.CutSuffix(f[1], "/go.mod")
	if isMod {
		return escaped.String() + "/@v/" + version + ".mod", nil
	}
	return escaped.String() + "/@v/" + version + ".zip", nil
}

func copyFile(from, to string, mode fs.FileMode) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}
