package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
	"ukl/internal/pin/toolchain/toolchaintest"
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
	cache, err := os.UserCacheDir()
	ts.Check(err)
	archive, err := toolchaintest.Archive(filepath.Join(cache, "ukl/go-archive"), nix.Physical(lock.GoPath()),
		lock.Go.Version, lock.Go.Archive)
	if errors.Is(err, toolchaintest.ErrNoRelease) {
		ts.Logf("%v: Nix will download its archive", err)
	} else {
		ts.Check(err)
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
