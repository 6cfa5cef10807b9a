package launcher

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"ukl/internal/pin/toolchain/toolchaintest"
)

const (
	// distributionsEnv switches TestDistributions on, with "on".
	distributionsEnv = "UKL_TEST_DISTRIBUTIONS"
	// rootsEnv names a folder of roots that .ci/root made, one a suite. Without it they are in the cache folder.
	rootsEnv = "UKL_TEST_ROOTS"

	hello    = "Hello from ring 0.\n"
	somebody = 1000 // the ordinary user of a root
)

// TestDistributions does what the README says in bare roots of Debian suites. Each has the suite's Nix and an empty
// store. Stages that take minutes come from this machine's store. A server here has the Go archive and the Go modules.
func TestDistributions(t *testing.T) {
	if os.Getenv(distributionsEnv) != "on" {
		t.Skipf("runs only with %s=on: it needs root, .ci/root's packages and some ten minutes", distributionsEnv)
	}
	if os.Getuid() != 0 {
		t.Fatal("roots are entered by root only")
	}
	h := newHost(t)
	for _, suite := range []string{"bookworm", "trixie", "sid"} {
		t.Run(suite, func(t *testing.T) {
			r := h.newRoot(t, suite)
			for _, c := range []struct {
				name string
				test func(*testing.T, *bareRoot)
			}{
				{"nix run as root", nixRunAsRoot},
				{"launcher as root", launcherAsRoot},
				{"same bits", sameBits},
				{"user with a daemon", userWithDaemon},
				{"checkouts", checkouts},
				{"user without a store", userWithoutStore},
				{"user without Nix", userWithoutNix},
			} {
				t.Run(c.name, func(t *testing.T) { c.test(t, r) })
			}
		})
	}
}

// nixRunAsRoot is the README's second way, on a machine that the launcher never ran on.
func nixRunAsRoot(t *testing.T, r *bareRoot) {
	before := r.archives()
	got := r.sh(t, asRoot, `
git clone -q "$URL" first
cd first
nix run .#ukl -- run -q hello
`)
	got.says(t, hello)
	if r.archives() == before {
		t.Errorf("nobody asked the mirror for the Go archive\n%s", got.stderr)
	}
	serves := r.sh(t, asRoot, `
cd first
nix run .#ukl -- run -d -p 0:5555 multithreaded
port=$(nix run .#ukl -- ps | sed -n 's/.* 127\.0\.0\.1:\([0-9]*\):5555$/\1/p')
nix run .#ukl -- client -n 3 "127.0.0.1:$port"
nix run .#ukl -- stop multithreaded
`)
	if serves.code != 0 || !strings.Contains(serves.stdout, "30 round trips on 10 connections") {
		t.Errorf("exit %d\n%s\n%s", serves.code, serves.stdout, serves.stderr)
	}
}

// launcherAsRoot is the README's first way, in another clone.
func launcherAsRoot(t *testing.T, r *bareRoot) {
	r.sh(t, asRoot, `
git clone -q "$URL" second
cd second
! command -v go
./ukl run -q hello
`).says(t, hello)
}

// sameBits compares what the root has built with what this machine has.
func sameBits(t *testing.T, r *bareRoot) {
	r.sh(t, asRoot, `
[ -d first ] || git clone -q "$URL" first
cd first
nix eval --raw .#ukl.outPath
echo
readlink -f ~/.cache/ukl/launcher/*
nix run .#ukl -- build -q -o /tmp/out hello >&2
sha256sum </tmp/out/bzImage
`).says(t, r.host.program+"\n"+r.host.program+"\n"+r.host.bzImage+"  -\n")
}

// userWithDaemon goes both ways as an ordinary user, whose builds the daemon does.
func userWithDaemon(t *testing.T, r *bareRoot) {
	r.daemon(t)
	r.sh(t, asUser, `
git clone -q "$URL" first
cd first
nix run .#ukl -- run -q hello
cd ..
git clone -q "$URL" second
cd second
./ukl run -q hello
`).says(t, hello+hello)
}

// checkouts are of kinds that a launcher may stumble over.
func checkouts(t *testing.T, r *bareRoot) {
	const launch = "\nXDG_CACHE_HOME=$(mktemp -d) ./ukl run -q hello\n" // an empty one: everything is looked at again
	for _, c := range []struct {
		name   string
		who    who
		script string
	}{
		{"path", asRoot, `
git clone -q "$URL" "it's a näïve/path to ukl"
cd "it's a näïve/path to ukl"` + launch},
		{"shallow", asRoot, `
git clone -q --bare "$URL" full.git
git clone -q --depth 1 "file://$PWD/full.git" shallow
cd shallow
[ "$(git rev-parse --is-shallow-repository)" = true ]` + launch},
		{"tarball", asRoot, `
git clone -q "$URL" repository
mkdir tarball
git -C repository archive HEAD | tar -x -C tarball
cd tarball` + launch},
		{"HOME unset", who{name: "root", noHome: true}, `
[ -z "${HOME+set}" ]
git clone -q "$URL" homeless
cd homeless` + launch},
	} {
		t.Run(c.name, func(t *testing.T) { r.sh(t, c.who, c.script).says(t, hello) })
	}
	r.daemon(t)
	t.Run("read-only", func(t *testing.T) {
		r.sh(t, asUser, `
git clone -q "$URL" closed
chmod -R a-w closed
cd closed
if touch x; then exit 9; fi`+launch).says(t, hello)
	})
	t.Run("of another user", func(t *testing.T) {
		r.sh(t, asRoot, "git clone -q \"$URL\" /home/somebody/of-root\n").says(t, "")
		r.sh(t, asUser, "cd of-root"+launch).says(t, hello)
		// Nix asks git here, or does as git does.
		got := r.sh(t, asUser, "cd of-root && nix run .#ukl -- list\n")
		if got.code == 0 || !notOwned.MatchString(got.stderr) {
			t.Errorf("nix run: exit %d, without the reason that git gives\n%s", got.code, got.stderr)
		}
	})
}

// notOwned is how git, and Nix from 2.20 on by itself, refuse a repository of somebody else. Of Nix 2.8 one sees what
// `git diff` says to that.
var notOwned = regexp.MustCompile(`dubious ownership|not owned by current user|Not a git repository`)

// userWithoutStore has no /nix and no daemon: the store is at home.
func userWithoutStore(t *testing.T, r *bareRoot) {
	alone := r.withoutStore(t)
	alone.sh(t, asOwner, `
[ ! -e /nix/var ]
git clone -q "$URL" first
cd first
./ukl run -q hello
[ ! -e /nix/var ]
`).says(t, hello)
}

// userWithoutNix is told what to install.
func userWithoutNix(t *testing.T, r *bareRoot) {
	file := filepath.Join(t.TempDir(), "nix")
	if err := os.WriteFile(file, nil, 0o644); err != nil { // no program: a shell does not find it
		t.Fatal(err)
	}
	none := *r
	none.binds = append(none.binds[:len(none.binds):len(none.binds)], file+":/usr/bin/nix")
	got := none.sh(t, asUser, `
git clone -q "$URL" without
cd without
export XDG_CACHE_HOME=$(mktemp -d)
./ukl run -q hello
`)
	want := "ukl: error: Nix is not installed\nukl: hint: sudo apt-get install nix-bin nix-setup-systemd\n"
	if got.code != 69 || got.stdout != "" || got.stderr != want {
		t.Errorf("exit %d, %q\n%s\nwant exit 69,\n%s", got.code, got.stdout, got.stderr, want)
	}
}

// host is this machine: the commit to test, what it makes of it, and a server.
type host struct {
	checkout string
	program  string   // store path of ukl
	bzImage  string   // SHA-256 of the image of hello
	stages   []string // store paths that take minutes to build
	programs []string // store paths that ./ukl makes
	url      string   // of the server

	mu      sync.Mutex
	fetched int // times that the Go archive was sent
}

func newHost(t *testing.T) *host {
	checkout, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	h := &host{checkout: checkout}
	if dirty := h.run(t, "git", "status", "--porcelain", "--untracked-files=no"); dirty != "" {
		t.Fatalf("a clone has only what is committed, and this is not:\n%s", dirty)
	}
	own := filepath.Join(t.TempDir(), "ukl")
	h.run(t, "git", "clone", "-q", "--no-local", h.checkout, own)

	start := time.Now()
	out := filepath.Join(t.TempDir(), "out")
	h.run(t, filepath.Join(own, "ukl"), "build", "-q", "-o", out, "hello")
	h.bzImage = sum(t, filepath.Join(out, "bzImage"))
	instantiate := func(attribute string) string {
		expressions := filepath.Join(own, "nixexprs")
		return h.run(t, "nix-instantiate", expressions, "-A", attribute, "--argstr", "checkout", own)
	}
	output := func(attribute string) string { return h.run(t, "nix-store", "-q", "--outputs", instantiate(attribute)) }
	h.program = output("ukl")
	for _, stage := range []string{"tools", "linux-source", "linux-objects", "glibc"} {
		path := output(stage)
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("stage %s: %v", stage, err)
		}
		h.stages = append(h.stages, path)
	}
	h.programs = append(strings.Fields(h.run(t, "nix-store", "-qR", h.program)), output("go"), output("modules"))
	t.Logf("this machine: %.0f s, %s, bzImage %s", time.Since(start).Seconds(), h.program, h.bzImage)

	archive, hash := h.goArchive(t, output("go"))
	repository := filepath.Join(t.TempDir(), "ukl.git")
	h.run(t, "git", "clone", "-q", "--bare", "--no-local", h.checkout, repository)
	// A branch, also where none is checked out here.
	h.run(t, "git", "-C", repository, "update-ref", "refs/heads/tested", h.run(t, "git", "rev-parse", "HEAD"))
	h.run(t, "git", "-C", repository, "symbolic-ref", "HEAD", "refs/heads/tested")
	h.run(t, "git", "-C", repository, "update-server-info")
	modules := filepath.Join(h.run(t, "go", "env", "GOMODCACHE"), "cache/download")
	h.run(t, "go", "mod", "download")

	mux := http.NewServeMux()
	mux.HandleFunc("/sha256/"+hash, func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.fetched++
		http.ServeFile(w, r, archive)
	})
	mux.Handle("/modules/", http.StripPrefix("/modules", http.FileServer(http.Dir(modules))))
	mux.Handle("/ukl.git/", http.StripPrefix("/ukl.git", http.FileServer(http.Dir(repository))))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// run returns what a command of this machine printed, without the last line feed.
func (h *host) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = h.checkout
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, &stderr)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// goArchive returns the archive of the pinned Go release and its SHA-256.
func (h *host) goArchive(t *testing.T, module string) (file, hash string) {
	t.Helper()
	var lock struct {
		Go struct{ Version, Archive string }
	}
	b, err := os.ReadFile(filepath.Join(h.checkout, "nixexprs/pins.json"))
	if err := errors.Join(err, json.Unmarshal(b, &lock)); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cacheDir(t), "go-archive")
	file, err = toolchaintest.Archive(dir, module, lock.Go.Version, lock.Go.Archive)
	if errors.Is(err, toolchaintest.ErrNoRelease) {
		t.Skipf("NOT TESTED: %v; put the archive of Go %s into %s", err, lock.Go.Version, filepath.Join(dir, lock.Go.Archive))
	}
	if err != nil {
		t.Fatal(err)
	}
	return file, lock.Go.Archive
}

func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "ukl")
}

func sum(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := sha256.New()
	if _, err := io.Copy(s, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(s.Sum(nil))
}

// bareRoot is a root of a suite. All that commands change there lies in folders of the test: /nix and the homes.
type bareRoot struct {
	host  *host
	dir   string
	binds []string
}

func (h *host) newRoot(t *testing.T, suite string) *bareRoot {
	t.Helper()
	start := time.Now()
	roots := os.Getenv(rootsEnv)
	if roots == "" {
		roots = filepath.Join(cacheDir(t), "roots")
	}
	r := &bareRoot{host: h, dir: filepath.Join(roots, suite)}
	h.run(t, ".ci/root", "make", suite, r.dir)
	r.fresh(t)
	r.give(t, asRoot, "", h.stages)
	version := strings.TrimSpace(r.sh(t, asRoot, "nix --version").stdout)
	t.Logf("%s: %.0f s, %s", suite, time.Since(start).Seconds(), version)
	return r
}

// fresh gives a root an empty /nix and empty homes.
func (r *bareRoot) fresh(t *testing.T) {
	t.Helper()
	dir := openDir(t)
	for _, to := range []string{"/nix", "/root", "/home/somebody"} {
		from := filepath.Join(dir, filepath.Base(to))
		if err := os.Mkdir(from, 0o755); err != nil {
			t.Fatal(err)
		}
		r.binds = append(r.binds, from+":"+to)
	}
	if err := os.Chown(filepath.Join(dir, "somebody"), somebody, somebody); err != nil {
		t.Fatal(err)
	}
}

// openDir is a temporary directory that any user may enter. What lies in it may be read-only, as in a store.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ukl-root")
	if err := errors.Join(err, os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil { // root may, whatever the modes are
			t.Error(err)
		}
	})
	return dir
}

// give puts paths of this machine's store into the one below a directory: it binds them and makes them known. A copy
// takes longer.
func (r *bareRoot) give(t *testing.T, w who, below string, paths []string) {
	t.Helper()
	for _, path := range paths {
		r.binds = append(r.binds, path+":"+below+path)
	}
	load := r.enter(w, "env", "NIX_REMOTE=local?root="+below+"/", "nix-store", "--load-db")
	load.Stdin = strings.NewReader(r.host.run(t, "nix-store", append([]string{"--dump-db"}, paths...)...) + "\n")
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("nix-store --load-db: %v\n%s", err, out)
	}
}

// withoutStore is the same root with nothing at /nix and new homes. The user's own store has the stages already, and
// what the launcher makes.
func (r *bareRoot) withoutStore(t *testing.T) *bareRoot {
	t.Helper()
	alone := &bareRoot{host: r.host, dir: r.dir}
	alone.fresh(t)
	const own = "/home/somebody/.local/share/nix/root"
	home := strings.TrimSuffix(alone.binds[2], ":/home/somebody")
	dir := home
	for _, name := range []string{".local", "share", "nix", "root", "nix", "store"} {
		dir = filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, somebody, somebody)); err != nil {
			t.Fatal(err)
		}
	}
	alone.give(t, asOwner, own, append(r.host.stages[:len(r.host.stages):len(r.host.stages)], r.host.programs...))
	return alone
}

// who runs a command in a root.
type who struct {
	name   string
	owner  bool // of the store that is built in
	noHome bool
}

var (
	asRoot  = who{name: "root", owner: true}
	asUser  = who{name: "somebody"}
	asOwner = who{name: "somebody", owner: true}
)

// environment is what whoever builds in a store needs to know: flakes, and where things are. A daemon takes no address
// from its users.
func (r *bareRoot) environment(w who) []string {
	config := "experimental-features = nix-command flakes\n"
	if w.owner || w.noHome {
		config += "hashed-mirrors = " + r.host.url + "\n"
	}
	if w.name == "root" {
		config += "build-users-group =\n" // there is no group nixbld
	}
	return []string{
		"NIX_CONFIG=" + config,
		"GOPROXY=" + r.host.url + "/modules",
		"URL=" + r.host.url + "/ukl.git",
		"UKL_MIRROR=none", // apt's mirrors only
	}
}

type result struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

// says demands success and exactly this output.
func (r result) says(t *testing.T, stdout string) {
	t.Helper()
	if r.code != 0 || r.stdout != stdout {
		t.Fatalf("exit %d, said %q, want %q\n%s", r.code, r.stdout, stdout, r.stderr)
	}
}

// sh runs a script at home.
func (r *bareRoot) sh(t *testing.T, w who, script string) result {
	t.Helper()
	home := "/root"
	if w.name != "root" {
		home = "/home/" + w.name
	}
	cmd := r.enter(w, "sh", "-euc", "cd "+home+"\n"+script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	got := result{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got.code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	t.Logf("%.1f s", got.took.Seconds())
	return got
}

func (r *bareRoot) enter(w who, command ...string) *exec.Cmd {
	args := []string{"enter", r.dir, "-u", w.name}
	for _, bind := range r.binds {
		args = append(args, "-b", bind)
	}
	for _, e := range r.environment(w) {
		args = append(args, "-e", e)
	}
	if w.noHome {
		args = append(args, "-H", "unset")
	}
	return exec.Command(filepath.Join(r.host.checkout, ".ci/root"), append(args, command...)...)
}

// daemon runs Nix's daemon until the test ends.
func (r *bareRoot) daemon(t *testing.T) {
	t.Helper()
	cmd := r.enter(asRoot, "nix-daemon")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill() // unshare ignores SIGTERM; its child ends with it
		cmd.Wait()
	})
	socket := filepath.Join(strings.TrimSuffix(r.binds[0], ":/nix"), "var/nix/daemon-socket/socket")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the daemon did not start\n%s", &said)
		}
	}
}

func (r *bareRoot) archives() int {
	r.host.mu.Lock()
	defer r.host.mu.Unlock()
	return r.host.fetched
}
