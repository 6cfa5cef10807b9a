package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/internal/pin/toolchain"
	"ukl/nixexprs"
)

// published NAME serves what Nix downloads for a store with nothing in it, and puts the server's address into the
// variable NAME: sha256/HEX is the archive of the pinned Go, for Nix's hashed-mirrors; proxy is a module proxy with the
// pinned modules. Without a whole Go tree on this machine the archive is not served, and Nix asks for it where the Go
// project has it.
func published(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: published NAME")
	}
	lock, err := pins.Load(nixexprs.FS)
	ts.Check(err)
	archive, err := goArchive(lock, ts.MkAbs("go"))
	ts.Check(err)
	if archive == "" {
		ts.Logf("no whole tree of Go %s here: Nix will download its archive", lock.Go.Version)
	}
	modules := nix.Physical(lock.ModulesPath())
	mux := http.NewServeMux()
	mux.HandleFunc("/sha256/"+lock.Go.Archive, func(w http.ResponseWriter, r *http.Request) {
		if archive == "" {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, archive)
	})
	mux.Handle("/proxy/", http.StripPrefix("/proxy", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The pinned modules have no .info: nothing reads it but the go command that downloads.
		if name, ok := strings.CutSuffix(r.URL.Path, ".info"); ok {
			if _, err := os.Stat(filepath.Join(modules, name+".mod")); err == nil {
				fmt.Fprintf(w, "{%q: %q}", "Version", filepath.Base(name))
				return
			}
		}
		http.FileServer(http.Dir(modules)).ServeHTTP(w, r)
	})))
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.URL)
}

// goArchive makes the archive that the Go project publishes, byte by byte, in the new directory dir: of the pinned
// toolchain, which lacks four directories, and of those of this machine's Go. It is "" if there is no such Go here.
func goArchive(lock *pins.Lock, dir string) (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", err
	}
	own, pinned := strings.TrimSpace(string(out)), nix.Physical(lock.GoPath())
	want, err := os.ReadFile(filepath.Join(pinned, "VERSION"))
	if err != nil {
		return "", nil
	}
	if got, err := os.ReadFile(filepath.Join(own, "VERSION")); err != nil || string(got) != string(want) {
		return "", nil
	}
	if err := os.CopyFS(dir, os.DirFS(pinned)); err != nil {
		return "", err
	}
	for _, name := range []string{"api", "doc", "misc", "test"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(own, name))); err != nil {
			return "", nil // a toolchain of the module cache, as the pinned one
		}
	}
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "_go.mod" {
			return err
		}
		return os.Rename(file, filepath.Join(filepath.Dir(file), "go.mod"))
	})
	if err != nil {
		return "", err
	}
	cmd := exec.Command(filepath.Join(dir, "bin/go"), "run", "cmd/distpack")
	cmd.Dir = filepath.Join(dir, "src")
	cmd.Env = append(os.Environ(), "GOROOT="+dir, "GOTOOLCHAIN=local", "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %v: %s", cmd.Args, err, out)
	}
	archive := filepath.Join(dir, "pkg/distpack", toolchain.Archive(lock.Go.Version))
	data, err := os.ReadFile(archive)
	if err != nil {
		return "", err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != lock.Go.Archive {
		return "", fmt.Errorf("the archive of %s has SHA-256 %x, not %s", own, sum, lock.Go.Archive)
	}
	return archive, nil
}
