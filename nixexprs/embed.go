// Package nixexprs carries the Nix expressions, so that the ukl program and the flake build from the same text and get
// the same store paths. Expressions are data here: nothing in this package runs or changes them.
package nixexprs

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// FS holds this directory.
//
//go:embed all:*
var FS embed.FS

// Hash names the whole content, in hexadecimal.
var Hash = sync.OnceValue(func() string {
	h := sha256.New()
	err := fs.WalkDir(FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := FS.ReadFile(name)
		fmt.Fprintf(h, "%d %s %d\n", len(name), name, len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		panic(err) // an embedded file system has no I/O errors
	}
	return hex.EncodeToString(h.Sum(nil))
})

// Extract writes the expressions below dir, unless they are there already, and returns their directory. It appears
// whole or not at all, so concurrent calls do not disturb each other.
func Extract(dir string) (string, error) {
	final := filepath.Join(dir, "nixexprs-"+Hash()[:16])
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, ".nixexprs-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.CopyFS(tmp, FS); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, final); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, serr := os.Stat(final); serr != nil {
			return "", err
		}
	}
	return final, nil
}
