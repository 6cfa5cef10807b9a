package pins

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ukl/internal/host/nix"
	"ukl/internal/host/scratch"
	"ukl/internal/pin/toolchain"
)

// SumHash is the hash of a go.sum, by which a lock knows that its Go modules are still the right ones.
func SumHash(checkout string) (string, error) {
	b, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if err != nil {
		return "", err
	}
	raw := sha256.Sum256(b)
	return "sha256-" + base64.StdEncoding.EncodeToString(raw[:]), nil
}

// goReleases is where the Go project publishes the SHA-256 of each of its archives.
const goReleases = "https://go.dev/dl/?mode=json&include=all"

// published asks the list of releases at the address list for the SHA-256 of a version's archive.
func published(ctx context.Context, list, version string) (string, error) {
	name := toolchain.Archive(version)
	fail := func(err error) (string, error) {
		return "", fmt.Errorf("the SHA-256 of %s is published at %s: %w", name, list, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, list, nil)
	if err != nil {
		return fail(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // which does not repeat the address
		}
		return fail(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fail(errors.New(res.Status))
	}
	var all []struct {
		Files []struct{ Filename, SHA256 string }
	}
	if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
		return fail(err)
	}
	for _, r := range all {
		for _, f := range r.Files {
			if f.Filename == name && isHash(f.SHA256) {
				return f.SHA256, nil
			}
		}
	}
	return fail(errors.New("that list does not contain it"))
}

// addToolchain puts the toolchain of a version into the store through the host's go command, and returns its path.
func addToolchain(ctx context.Context, c *nix.Client, version string) (string, error) {
	work, done, err := scratch.Dir("ukl-go-")
	if err != nil {
		return "", err
	}
	defer done()
	dir, err := toolchain.Command{Path: "go"}.Download(ctx, version, work)
	if err != nil {
		return "", err
	}
	return c.AddPath(ctx, "source", dir)
}

// addModules puts the modules of checkout's go.sum into the store, through the toolchain there, and returns their path.
func addModules(ctx context.Context, c *nix.Client, checkout, goroot string) (string, error) {
	work, done, err := scratch.Dir("ukl-modules-")
	if err != nil {
		return "", err
	}
	defer done()
	dir := filepath.Join(work, "go-modules")
	pinned := toolchain.Command{Path: filepath.Join(nix.Physical(goroot), "bin/go"), Env: []string{"GOTOOLCHAIN=local"}}
	if err := pinned.Modules(ctx, checkout, dir); err != nil {
		return "", err
	}
	return c.AddPath(ctx, "go-modules", dir)
}

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

// Update makes the lock of a checkout anew: packages from apt, then the hashes of everything that is made from them.
// With goOnly the packages and their trees stay as they are, and only what depends on Go files is measured. step is
// told what happens; fetched may be nil.
func Update(ctx context.Context, c *nix.Client, checkout string, goOnly bool, o Options, step func(string),
	fetched func(Progress),
) (*Lock, error) {
	exprs := filepath.Join(checkout, "nixexprs")
	old, err := Load(os.DirFS(exprs))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l := old
	if !goOnly {
		step("asking apt for packages")
		if l, err = Resolve(ctx, old, o); err != nil {
			return nil, err
		}
	} else if l == nil {
		return nil, errors.New("there is no lock yet")
	}
	version, err := toolchainVersion(checkout)
	if err != nil {
		return nil, err
	}
	work, done, err := scratch.Dir("ukl-pins-")
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.CopyFS(work, os.DirFS(exprs)); err != nil {
		return nil, err
	}
	build := func(attr string) (string, error) {
		step("building " + attr)
		os.Remove(filepath.Join(work, File))
		if err := l.Write(work); err != nil {
			return "", err
		}
		return c.Build(ctx, nix.Request{Expr: work, Attr: attr, Args: map[string]string{"checkout": checkout}}, nil)
	}
	// A hash that no content has makes Nix build, keep the result under its own hash, and say what that is.
	zero, _ := ToSRI(strings.Repeat("0", 64))
	measure := func(attr string) (string, error) {
		_, err := build(attr)
		var b *nix.BuildError
		if errors.As(err, &b) && b.Got != "" {
			return b.Got, nil
		}
		if err == nil {
			err = errors.New("a store path with an impossible hash exists")
		}
		return "", err
	}
	oldStage0 := l.Stage0.NarHash
	if l.Go.Version != version {
		if l.Go.Archive, err = published(ctx, goReleases, version); err != nil {
			return nil, err
		}
		l.Go.Version, l.Go.NarHash, l.Stage0.NarHash = version, zero, zero
		if l.Go.NarHash, err = measure("go"); err != nil {
			return nil, err
		}
	}
	if ok, err := c.Has(ctx, l.GoPath()); err != nil {
		return nil, err
	} else if !ok {
		step("fetching the Go toolchain")
		if path, err := addToolchain(ctx, c, version); err != nil || path != l.GoPath() {
			if _, err := build("go"); err != nil {
				return nil, err
			}
		}
	}
	step("hashing the Go modules")
	if l.Modules.GoSum, err = SumHash(checkout); err != nil {
		return nil, err
	}
	modules, err := addModules(ctx, c, checkout, l.GoPath())
	if err != nil {
		return nil, err
	}
	if l.Modules.NarHash, err = c.NarHash(ctx, modules); err != nil {
		return nil, err
	}
	l.Stage0.NarHash = zero
	if l.Stage0.NarHash, err = measure("stage0"); err != nil {
		return nil, err
	}
	// A tree follows from its packages and from stage0; the same of both is the same tree.
	trees := map[string]Tree{}
	for n, t := range l.Trees {
		if !goOnly && (l.Stage0.NarHash != oldStage0 || old == nil || !sameTree(l, old, n)) {
			trees[n] = t
			t.NarHash = zero
			l.Trees[n] = t
		}
	}
	if len(trees) > 0 {
		step("fetching packages")
		missing, err := l.Missing(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := Fetch(ctx, c, missing, o, fetched); err != nil {
			return nil, err
		}
	}
	for n, t := range trees {
		if t.NarHash, err = measure(n); err != nil {
			return nil, err
		}
		l.Trees[n] = t
	}
	step("reading what the packages say of themselves")
	if err := updateFacts(ctx, c, checkout, l, o, fetched); err != nil {
		return nil, err
	}
	step("writing " + filepath.Join(exprs, File))
	if err := l.Write(exprs); err != nil {
		return nil, err
	}
	return l, nil
}

// sameTree tells whether two locks make a tree of the same packages.
func sameTree(a, b *Lock, tree string) bool {
	if !slices.Equal(a.Trees[tree].Packages, b.Trees[tree].Packages) {
		return false
	}
	for _, n := range a.Trees[tree].Packages {
		if a.Packages[n].SHA256 != b.Packages[n].SHA256 {
			return false
		}
	}
	return true
}

func toolchainVersion(checkout string) (string, error) {
	b, err := os.ReadFile(filepath.Join(checkout, "go.mod"))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "toolchain go"); ok {
			return v, nil
		}
	}
	return "", errors.New("go.mod: no toolchain line")
}
