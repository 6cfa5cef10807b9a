// Package toolchaintest makes what the Go project publishes, for tests that must not download it.
package toolchaintest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"ukl/internal/host/atomicfile"
	"ukl/internal/pin/toolchain"
)

// ErrNoRelease says that this machine's Go is not all of the pinned release, of which alone its archive can be made.
var ErrNoRelease = errors.New("no whole release of that Go is here")

// Archive returns the file that the Go project publishes as a release's archive, byte by byte: version is 1.26.8, sum
// its SHA-256 in hexadecimal. It is made by Go's own distpack, of the pinned toolchain, which lacks four directories,
// and of those of this machine's Go. It is kept below dir.
func Archive(dir, pinned, version, sum string) (string, error) {
	file := filepath.Join(dir, sum, toolchain.Archive(version))
	if data, err := os.ReadFile(file); err == nil {
		return file, check(file, data, sum)
	}
	tree, err := os.MkdirTemp("", "go")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tree)
	if err := whole(tree, pinned); err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(tree, "bin/go"), "run", "cmd/distpack")
	cmd.Dir = filepath.Join(tree, "src")
	cmd.Env = append(os.Environ(), "GOROOT="+tree, "GOTOOLCHAIN=local", "GOFLAGS=", "GOENV=off", "CGO_ENABLED=0",
		"PWD="+cmd.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
	}
	data, err := os.ReadFile(filepath.Join(tree, "pkg/distpack", filepath.Base(file)))
	if err != nil {
		return "", err
	}
	if err := check("what distpack made", data, sum); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return "", err
	}
	return file, atomicfile.File(file, data, 0o644)
}

func check(what string, data []byte, sum string) error {
	if got := sha256.Sum256(data); hex.EncodeToString(got[:]) != sum {
		return fmt.Errorf("%s has SHA-256 %x, not %s", what, got, sum)
	}
	return nil
}

// whole makes the tree of a release in an empty directory.
func whole(tree, pinned string) error {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return err
	}
	own := strings.TrimSpace(string(out))
	want, err := os.ReadFile(filepath.Join(pinned, "VERSION"))
	if err != nil {
		return err
	}
	if got, err := os.ReadFile(filepath.Join(own, "VERSION")); err != nil || string(got) != string(want) {
		return fmt.Errorf("%w: %s is another version", ErrNoRelease, own)
	}
	for from, name := range map[string]string{
		pinned: "", filepath.Join(own, "api"): "api", filepath.Join(own, "doc"): "doc", filepath.Join(own, "misc"): "misc",
		filepath.Join(own, "test"): "test",
	} {
		if _, err := os.Stat(from); err != nil { // a toolchain of the module cache, as the pinned one
			return fmt.Errorf("%w: %w", ErrNoRelease, err)
		}
		if err := copyTree(filepath.Join(tree, name), from); err != nil {
			return err
		}
	}
	// In a module a directory with a go.mod would be one of its own, so that of the toolchain has other names.
	return filepath.WalkDir(tree, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "_go.mod" {
			return err
		}
		return os.Rename(file, filepath.Join(filepath.Dir(file), "go.mod"))
	})
}

// copyTree copies a tree that may have symbolic links and files that nobody may write; the copies may be written.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, file)
		if err != nil {
			return err
		}
		dest := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dest, 0o755)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		in, err := os.Open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Close())
	})
}
