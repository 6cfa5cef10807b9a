package pins

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ukl/internal/nix"
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

// ToolchainModule is the Go toolchain's name for `go mod download`.
func ToolchainModule(version string) string {
	return "golang.org/toolchain@v0.0.1-go" + version + ".linux-amd64"
}

// AddGo puts the Go toolchain and the modules of checkout's go.sum into the store, through the host's go command, and
// returns their store paths.
func AddGo(ctx context.Context, c *nix.Client, checkout, version string) (toolchain, modules string, err error) {
	toolchain, err = addToolchain(ctx, c, version)
	if err != nil {
		return "", "", err
	}
	modules, err = addModules(ctx, c, checkout)
	return toolchain, modules, err
}

func addToolchain(ctx context.Context, c *nix.Client, version string) (string, error) {
	out, err := goCommand(ctx, "/", "mod", "download", "-json", ToolchainModule(version))
	if err != nil {
		return "", err
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil || m.Dir == "" {
		return "", fmt.Errorf("go mod download: no directory in %q", out)
	}
	// Module archives carry no mode bits. The go command sets these, too, when it first runs such a toolchain.
	for _, dir := range []string{"bin", "pkg/tool"} {
		err := filepath.WalkDir(filepath.Join(m.Dir, dir), func(p string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return os.Chmod(p, 0o755)
		})
		if err != nil {
			return "", err
		}
	}
	return c.AddPath(ctx, "source", m.Dir)
}

// addModules lays the modules of go.sum out as a module proxy. ./ukl does the same in shell; the hash keeps the two equal.
func addModules(ctx context.Context, c *nix.Client, checkout string) (string, error) {
	sums, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if err != nil {
		return "", err
	}
	// By name: without one the go command leaves out modules of which only a test of a module has need.
	download := []string{"mod", "download"}
	for line := range strings.Lines(string(sums)) {
		if f := strings.Fields(line); len(f) == 3 && !strings.HasSuffix(f[1], "/go.mod") {
			download = append(download, f[0]+"@"+f[1])
		}
	}
	if _, err := goCommand(ctx, checkout, download...); err != nil {
		return "", err
	}
	if _, err := goCommand(ctx, checkout, "mod", "graph"); err != nil {
		return "", err
	}
	cache, err := goCommand(ctx, checkout, "env", "GOMODCACHE")
	if err != nil {
		return "", err
	}
	from := filepath.Join(strings.TrimSpace(string(cache)), "cache", "download")
	dir, err := os.MkdirTemp("", "ukl-modules-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for line := range strings.Lines(string(sums)) {
		file, err := proxyFile(line)
		if err != nil {
			return "", err
		}
		if err := copyFile(filepath.Join(from, file), filepath.Join(dir, file)); err != nil {
			return "", err
		}
	}
	return c.AddPath(ctx, "go-modules", dir)
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

func copyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	w, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

func goCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("go %s: %s", strings.Join(args, " "), lastLine(string(exit.Stderr)))
	}
	return out, err
}

// Update makes the lock of a checkout anew: packages from apt, then the hashes of everything that is made from them. With
// goOnly the packages and their trees stay as they are, and only what depends on Go files is measured. step is told what
// happens; fetched may be nil.
func Update(ctx context.Context, c *nix.Client, checkout string, goOnly bool, o Options, step func(string), fetched func(Progress)) (*Lock, error) {
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
	if l.Go.Version, err = toolchainVersion(checkout); err != nil {
		return nil, err
	}
	if l.Modules.GoSum, err = SumHash(checkout); err != nil {
		return nil, err
	}
	step("hashing the Go toolchain and modules")
	toolchain, modules, err := AddGo(ctx, c, checkout, l.Go.Version)
	if err != nil {
		return nil, err
	}
	for path, hash := range map[string]*string{toolchain: &l.Go.NarHash, modules: &l.Modules.NarHash} {
		if *hash, err = c.NarHash(ctx, path); err != nil {
			return nil, err
		}
	}
	// A hash that no content has makes Nix build, and say what it got.
	zero, _ := ToSRI(strings.Repeat("0", 64))
	oldStage0 := l.Stage0.NarHash
	l.Stage0.NarHash = zero
	work, err := os.MkdirTemp("", "ukl-pins-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := os.CopyFS(work, os.DirFS(exprs)); err != nil {
		return nil, err
	}
	measure := func(attr string) (string, error) {
		step("building " + attr)
		os.Remove(filepath.Join(work, File))
		if err := l.Write(work); err != nil {
			return "", err
		}
		_, err := c.Build(ctx, nix.Request{Expr: work, Attr: attr, Args: map[string]string{"go": toolchain, "checkout": checkout}}, nil)
		var b *nix.BuildError
		if errors.As(err, &b) && b.Got != "" {
			return b.Got, nil
		}
		if err == nil {
			err = errors.New("a store path with an impossible hash exists")
		}
		return "", err
	}
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
	step("writing " + filepath.Join(exprs, File))
	if err := l.Write(exprs); err != nil {
		return nil, err
	}
	return l, l.writeFlake(checkout)
}

// writeFlake brings flake.nix and flake.lock, whose only input is the Go toolchain, into line with the lock.
func (l *Lock) writeFlake(checkout string) error {
	archive := regexp.MustCompile(`/go[0-9.]+[0-9]\.linux-amd64\.tar\.gz`)
	hash := regexp.MustCompile(`"narHash": "sha256-[^"]*"`)
	for _, name := range []string{"flake.nix", "flake.lock"} {
		file := filepath.Join(checkout, name)
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		now := archive.ReplaceAll(text, []byte("/go"+l.Go.Version+".linux-amd64.tar.gz"))
		now = hash.ReplaceAll(now, []byte(`"narHash": "`+l.Go.NarHash+`"`))
		if bytes.Equal(now, text) {
			continue
		}
		if err := os.WriteFile(file, now, 0o644); err != nil {
			return err
		}
	}
	return nil
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
