package launcher

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// machine is a checkout with a launcher, a PATH of its own and a Nix that only pretends.
type machine struct {
	t                    *testing.T
	checkout, bin, cache string
	etc                  string // stands for what the launcher looks at below / by name
}

// tools are what the launcher may use of a machine: they come with any shell. There is no git.
var tools = strings.Fields("sh env id grep sed awk dirname readlink mkdir mktemp rm chmod cp mv find cat ln ls od tr base64 " +
	"sort sha256sum tar")

func newMachine(t *testing.T) *machine { return newMachineAt(t, "checkout") }

// newMachineAt has its checkout at a path below the test's directory.
func newMachineAt(t *testing.T, checkout string) *machine {
	t.Helper()
	dir := t.TempDir()
	below := func(name string) string { return filepath.Join(dir, name) }
	m := &machine{t, below(checkout), below("bin"), below("cache"), below("etc")}
	for _, d := range []string{m.checkout, m.bin, m.cache, m.etc} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range tools {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{
		"ukl", "go.mod", "go.sum", "LICENSE", "LICENSES/MIT.txt", "nixexprs/pins.json",
	} {
		b, err := os.ReadFile(filepath.Join("../../..", f))
		if err != nil {
			t.Fatal(err)
		}
		text := string(b)
		if f == "ukl" {
			for from, to := range map[string]string{
				"/etc/os-release": "os-release", "/etc/group": "group", "/nix/var/nix": "nix", "/usr/local/go": "go",
				"/proc/sys": "sys", "/run/current-system": "",
			} {
				if !strings.Contains(text, from) {
					t.Fatalf("the launcher does not look at %s", from)
				}
				text = strings.ReplaceAll(text, from, filepath.Join(m.etc, to))
			}
		}
		m.write(filepath.Join(m.checkout, f), text)
	}
	m.write(filepath.Join(m.checkout, "cmd/ukl/main.go"), "package main\n")
	m.write(filepath.Join(m.checkout, "internal/x.go"), "package x\n")
	m.write(filepath.Join(m.checkout, "README.md"), "text\n")
	m.write(filepath.Join(m.etc, "nix/db/x"), "") // a store that all may write to
	m.write(filepath.Join(m.etc, "group"), "root:x:0:\n")
	return m
}

func (m *machine) write(file, text string) {
	m.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

// nix installs a Nix whose store has what $STORE/valid names, everything if there is no such file, and whose build of
// ukl gives a program that prints its arguments.
func (m *machine) nix() {
	m.write(filepath.Join(m.bin, "nix-store"), `#!/bin/sh
echo nix-store "$@" >>"$CALLS"
case "$*" in
  *--print-fixed-path*) echo "/nix/store/$5" ;;
  *--check-validity*) [ ! -e "$STORE/valid" ] || grep -q "$2" "$STORE/valid" ;;
  *--restore*) read -r text && [ "$text" = nar ] && mkdir "$2" ;;
  *--add-fixed*) [ -n "$WRONG" ] || echo "/nix/store/${4##*/}" >>"$STORE/valid" ;;
esac
`)
	m.write(filepath.Join(m.bin, "nix-build"), `#!/bin/sh
echo nix-build "$@" >>"$CALLS"
[ -z "$BROKEN" ] || exit 1
[ "$3" != go ] || echo /nix/store/source >>"$STORE/valid"
while [ $# -gt 0 ]; do
  case $1 in
    --out-link)
      mkdir -p "$STORE/bin"
      printf '#!/bin/sh\nfor a; do echo "<$a>"; done\nexit 7\n' >"$STORE/bin/ukl"
      chmod +x "$STORE/bin/ukl"
      ln -s "$STORE" "$2" ;;
  esac
  shift
done
`)
}

// empties the store.
func (m *machine) empty() {
	m.t.Helper()
	for _, d := range []string{"store", "ukl/launcher"} {
		if err := os.RemoveAll(filepath.Join(m.cache, d)); err != nil {
			m.t.Fatal(err)
		}
	}
	m.write(filepath.Join(m.cache, "store/valid"), "")
}

// run starts the launcher. extra is more environment; "NAME" alone takes a variable away.
func (m *machine) run(extra []string, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	cmd := exec.Command(filepath.Join(m.checkout, "ukl"), args...)
	cmd.Env = []string{
		"PATH=" + m.bin, "HOME=" + m.cache, "XDG_CACHE_HOME=" + m.cache, "TMPDIR=" + m.cache,
		"CALLS=" + filepath.Join(m.cache, "calls"), "STORE=" + filepath.Join(m.cache, "store"),
	}
	for _, e := range extra {
		if name, _, set := strings.Cut(e, "="); set {
			cmd.Env = append(cmd.Env, e)
		} else {
			cmd.Env = slices.DeleteFunc(cmd.Env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
		}
	}
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// fails demands an exit code of the launcher, and a part of what it says.
func (m *machine) fails(want int, say string, extra ...string) {
	m.t.Helper()
	if _, stderr, code := m.run(extra, "list"); code != want || !strings.Contains(stderr, say) {
		m.t.Errorf("%q: exit %d, %s\nwant %d, %s", extra, code, stderr, want, say)
	}
}

// as makes `id` tell of another user.
func (m *machine) as(uid, name string) {
	m.t.Helper()
	file := filepath.Join(m.bin, "id")
	os.Remove(file) // a link to the machine's own
	m.write(file, "#!/bin/sh\ncase $1 in -u) echo "+uid+" ;; -un) echo "+name+" ;; esac\n")
}

// calls returns and forgets what was asked of Nix.
func (m *machine) calls() string {
	file := filepath.Join(m.cache, "calls")
	b, _ := os.ReadFile(file)
	os.Remove(file)
	return string(b)
}

func TestBuildsOnceAndBecomesUkl(t *testing.T) {
	m := newMachine(t)
	m.nix()
	args := []string{"run", "a b", "", "--", "-x"}
	want := "<run>\n<a b>\n<>\n<-->\n<-x>\n"
	stdout, stderr, code := m.run(nil, args...)
	if stdout != want || code != 7 {
		t.Fatalf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	calls := m.calls()
	for _, want := range []string{
		"--attr ukl --argstr checkout " + m.checkout, "--option sandbox true --option sandbox-fallback false",
	} {
		if !strings.Contains(calls, want) {
			t.Errorf("no %q in\n%s", want, calls)
		}
	}
	// Again: nothing is asked, nothing is said.
	if stdout, stderr, code := m.run(nil, args...); stdout != want || stderr != "" || code != 7 || m.calls() != "" {
		t.Errorf("second run: exit %d\n%s\n%s", code, stdout, stderr)
	}
	// Neither from elsewhere, through a link, nor after a change of what no program is made of.
	link := filepath.Join(m.bin, "ukl")
	if err := os.Symlink(filepath.Join(m.checkout, "ukl"), link); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.checkout, "README.md"), "other text\n")
	cmd := exec.Command(link, args...)
	cmd.Env = []string{"PATH=" + m.bin, "HOME=/none", "XDG_CACHE_HOME=" + m.cache}
	if out, err := cmd.CombinedOutput(); string(out) != want || m.calls() != "" {
		t.Errorf("through a link: %v\n%s", err, out)
	}
	// A changed file is another state, tracked by git or not; the same file again is the same state again.
	for _, name := range []string{
		"nixexprs/pins.json", "go.sum", "LICENSES/MIT.txt", "cmd/ukl/new.go",
	} {
		file := filepath.Join(m.checkout, name)
		before, err := os.ReadFile(file)
		m.write(file, string(before)+"\n")
		if _, _, code := m.run(nil); code != 7 || !strings.Contains(m.calls(), "--attr ukl") {
			t.Errorf("%s changed, and nothing was built: exit %d", name, code)
		}
		if m.write(file, string(before)); err != nil {
			os.Remove(file)
		}
		if _, _, code := m.run(nil); code != 7 || m.calls() != "" {
			t.Errorf("%s: a known state was built again: exit %d", name, code)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(m.cache, "tmp.*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A Tab must not begin a build: before there is a ukl, a shell is told nothing.
func TestCompletionBuildsNothing(t *testing.T) {
	m := newMachine(t)
	m.nix()
	ask := []string{"run", "he", "--generate-bash-completion"}
	if stdout, stderr, code := m.run(nil, ask...); stdout+stderr != "" || code != 0 || m.calls() != "" {
		t.Errorf("before ukl is built: exit %d\n%s\n%s", code, stdout, stderr)
	}
	if _, stderr, code := m.run(nil); code != 7 {
		t.Fatalf("exit %d\n%s", code, stderr)
	}
	if stdout, _, _ := m.run(nil, ask...); stdout != "<run>\n<he>\n<--generate-bash-completion>\n" {
		t.Errorf("ukl is built, and was asked: %s", stdout)
	}
}

func TestAnyPathWillDo(t *testing.T) {
	for _, path := range []string{"a b/c  d", "o'neil", "naïve/ö", "a#b?c%20d"} {
		m := newMachineAt(t, path)
		m.nix()
		if stdout, stderr, code := m.run(nil, "list"); code != 7 || stdout != "<list>\n" {
			t.Errorf("%s: exit %d, %s", path, code, stderr)
		}
		if calls := m.calls(); !strings.Contains(calls, "nix-build "+m.checkout+"/nixexprs ") {
			t.Errorf("%s: %s", path, calls)
		}
	}
}

// What a hook of git has set, or no home, or one that cannot be used.
func TestEnvironment(t *testing.T) {
	m := newMachine(t)
	m.nix()
	git := []string{
		"GIT_DIR=/none", "GIT_WORK_TREE=/none", "GIT_INDEX_FILE=/none",
		"GIT_CEILING_DIRECTORIES=" + m.checkout,
	}
	m.write(filepath.Join(m.bin, "git"), "#!/bin/sh\necho git \"$@\" >>\"$CALLS\"\nexit 128\n")
	if _, stderr, code := m.run(append(git, "root=/none"), "list"); code != 7 || stderr != "ukl: building ukl (once for each state of the checkout)\n" {
		t.Errorf("with git's variables: exit %d, %s", code, stderr)
	}
	if calls := m.calls(); strings.Contains(calls, "git ") {
		t.Errorf("git was asked:\n%s", calls)
	}
	// The shell knows the homes of users that the machine knows.
	want := 7
	if _, err := user.LookupId(fmt.Sprint(os.Getuid())); err != nil {
		want = 69
	}
	if _, stderr, code := m.run([]string{"HOME", "XDG_CACHE_HOME=" + m.cache + "/other"}, "list"); code != want {
		t.Errorf("without HOME: exit %d, not %d, %s", code, want, stderr)
	}
	m.as("0", "nobody-of-that-name")
	m.fails(69, "ukl: error: HOME is not set, and this user has no home\nukl: hint: export HOME=", "HOME")
	// A relative path is no place: HOME has to be one, and the others then count as not set.
	m.fails(69, "ukl: error: HOME=relative is not an absolute path\nukl: hint: export HOME=DIR", "HOME=relative")
	if _, stderr, code := m.run([]string{"XDG_CACHE_HOME=relative", "HOME=" + m.cache + "/home"}, "list"); code != 7 {
		t.Errorf("with a relative cache: exit %d, %s", code, stderr)
	}
	if _, err := os.Stat(filepath.Join(m.cache, "home/.cache/ukl/launcher")); err != nil {
		t.Error(err)
	}
	file := filepath.Join(m.cache, "calls-not")
	m.write(file, "")
	m.fails(69, "cannot be made\nukl: hint: export XDG_CACHE_HOME=DIR", "XDG_CACHE_HOME="+file)
	m.fails(69, "no temporary directory can be made in /none", "TMPDIR=/none", "XDG_CACHE_HOME="+m.cache+"/third")
}

func TestNixIsMissing(t *testing.T) {
	for _, c := range []struct{ release, uid, hint string }{
		{"ID=debian\n", "1000", "sudo apt-get install nix-bin nix-setup-systemd"},
		{"NAME=x\nID=ubuntu\nID_LIKE=debian\n", "1000", "sudo apt-get install nix-bin nix-setup-systemd"},
		{"ID=fedora\n", "1000", "sudo dnf install nix    # or: https://nixos.org/download"},
		{"ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n", "0", "dnf install nix    # or: https://nixos.org/download"},
		{"ID=arch\n", "1000", "sudo pacman -S nix"},
		{
			"ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", "1000",
			"sudo zypper install nix    # or: https://nixos.org/download",
		},
		{"ID=alpine\n", "0", "apk add nix"},
		{"ID=gentoo\n", "0", "https://nixos.org/download"},
		{"", "1000", "https://nixos.org/download"},
	} {
		m := newMachine(t)
		m.as(c.uid, "somebody")
		if c.release != "" {
			m.write(filepath.Join(m.etc, "os-release"), c.release)
		}
		_, stderr, code := m.run([]string{"code=3"}, "list")
		if want := "ukl: error: Nix is not installed\nukl: hint: " + c.hint + "\n"; code != 69 || stderr != want {
			t.Errorf("%q: exit %d, %s\nwant %s", c.release, code, stderr, want)
		}
	}
	// One that PATH does not name will do.
	m := newMachine(t)
	m.nix()
	for _, name := range []string{"nix-build", "nix-store"} {
		profile := filepath.Join(m.cache, ".nix-profile/bin")
		err := errors.Join(os.MkdirAll(profile, 0o755), os.Rename(filepath.Join(m.bin, name), filepath.Join(profile, name)))
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, stderr, code := m.run(nil, "list"); code != 7 {
		t.Errorf("in the user's profile: exit %d, %s", code, stderr)
	}
}

func TestFailedBuild(t *testing.T) {
	m := newMachine(t)
	m.nix()
	m.fails(71, "ukl: error: ukl could not be built\n", "BROKEN=yes")
	// A kernel that forbids what Nix's sandbox is made of is the likely reason.
	m.as("1000", "somebody")
	m.write(filepath.Join(m.etc, "sys/kernel/unprivileged_userns_clone"), "1\n")
	m.write(filepath.Join(m.etc, "sys/user/max_user_namespaces"), "0\n")
	m.fails(71, "built\nukl: hint: sudo sysctl user.max_user_namespaces=10000\n", "BROKEN=yes")
}

// Root and whoever may write to the store do it; others need a daemon.
func TestStoreIsReached(t *testing.T) {
	m := newMachine(t)
	m.nix()
	state := filepath.Join(m.etc, "nix")
	if err := os.RemoveAll(state); err != nil {
		t.Fatal(err)
	}
	m.as("1000", "somebody")
	// Nobody has a store: an ordinary user gets one at home. What is built there is not where its path points to.
	if _, stderr, code := m.run(nil, "list"); code != 69 || !strings.Contains(stderr, "holds no program") {
		t.Errorf("no store at all: exit %d, %s", code, stderr)
	}
	m.empty()
	if err := os.Mkdir(state, 0o755); err != nil {
		t.Fatal(err)
	}
	own := "export NIX_REMOTE='local?root=" + m.cache + "/.local/share/nix/root'\n"
	want := "ukl: error: only root can write to the Nix store, and no Nix daemon runs\n" +
		"ukl: hint: sudo systemctl enable --now nix-daemon    # or: " + own
	if _, stderr, code := m.run(nil, "list"); code != 69 || stderr != want {
		t.Errorf("no daemon: exit %d, %s\nwant %s", code, stderr, want)
	}
	socket := filepath.Join(m.etc, "nix/daemon-socket/socket")
	m.write(socket, "")
	if _, stderr, code := m.run(nil, "list"); code != 7 {
		t.Errorf("with a daemon: exit %d, %s", code, stderr)
	}
	if calls := m.calls(); strings.Contains(calls, "build-users-group") {
		t.Errorf("a user cannot set the group of builders:\n%s", calls)
	}
	if os.Getuid() != 0 { // nothing is closed to root
		m.empty()
		if err := os.Chmod(filepath.Dir(socket), 0); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(filepath.Dir(socket), 0o755)
		m.fails(69, "may talk to the Nix daemon\nukl: hint: sudo usermod -aG ")
	}
	os.RemoveAll(filepath.Join(m.etc, "nix"))
	for _, env := range []string{"NIX_REMOTE=daemon", "NIX_REMOTE=local?root=/"} {
		m.empty()
		if _, stderr, code := m.run([]string{env}, "list"); code != 7 {
			t.Errorf("%s: exit %d, %s", env, code, stderr)
		}
	}
	m.empty()
	m.calls()
	m.as("0", "root")
	if _, stderr, code := m.run(nil, "list"); code != 7 || !strings.Contains(m.calls(), "--option build-users-group ") {
		t.Errorf("root without the group nixbld: exit %d, %s", code, stderr)
	}
	m.empty()
	m.write(filepath.Join(m.etc, "group"), "nixbld:x:30000:\n")
	if _, stderr, code := m.run(nil, "list"); code != 7 || strings.Contains(m.calls(), "build-users-group") {
		t.Errorf("root with the group nixbld: exit %d, %s", code, stderr)
	}
}

// Builds run what they compile, in the temporary directory.
func TestTemporaryDirectoryMustRunPrograms(t *testing.T) {
	m := newMachine(t)
	m.nix()
	m.as("0", "root")
	// A chmod that changes nothing there, as on a file system without programs.
	os.Remove(filepath.Join(m.bin, "chmod"))
	real, err := exec.LookPath("chmod")
	if err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(m.bin, "chmod"), "#!/bin/sh\ncase $* in 700*$TMPDIR/*) ;; *) exec "+real+" \"$@\" ;; esac\n")
	noexec := filepath.Join(m.cache, "no exec")
	if err := os.Mkdir(noexec, 0o755); err != nil {
		t.Fatal(err)
	}
	want := "ukl: error: no program can run in " + noexec + ", where builds would\nukl: hint: export TMPDIR=/var/tmp\n"
	if _, stderr, code := m.run([]string{"TMPDIR=" + noexec}, "list"); code != 69 || stderr != want {
		t.Errorf("exit %d, %s\nwant %s", code, stderr, want)
	}
	// A daemon has a directory of its own.
	m.as("1000", "somebody")
	os.RemoveAll(filepath.Join(m.etc, "nix"))
	m.write(filepath.Join(m.etc, "nix/daemon-socket/socket"), "")
	if _, stderr, code := m.run([]string{"TMPDIR=" + noexec}, "list"); code != 7 {
		t.Errorf("with a daemon: exit %d, %s", code, stderr)
	}
	if left, _ := os.ReadDir(noexec); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// On a Debian-like machine root gets Nix from apt: with the lists as they are, else after an update.
func TestInstallsNixWithApt(t *testing.T) {
	m := newMachine(t)
	m.nix()
	m.as("0", "root")
	for _, name := range []string{"nix-build", "nix-store"} {
		if err := os.Rename(filepath.Join(m.bin, name), filepath.Join(m.cache, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.write(filepath.Join(m.bin, "apt-get"), `#!/bin/sh
echo noise
echo apt-get "$@" >>"$CALLS"
case "$*" in
  *update*) : >"$STORE.updated" ;;
  *install*nix-bin*) [ -e "$STORE.updated" ] || exit 100; cp "${STORE%/*}/nix-build" "${STORE%/*}/nix-store" "${0%/*}/" ;;
esac
`)
	stdout, stderr, code := m.run(nil, "list")
	if code != 7 || stdout != "<list>\n" {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	calls := m.calls()
	if strings.Count(calls, "apt-get") != 3 || !strings.Contains(calls, "update") {
		t.Errorf("apt was asked\n%s", calls)
	}
}

// seeds of the Go toolchain, as hexadecimal of the hash in pins.json.
func (m *machine) seed() (hex string) {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(m.checkout, "nixexprs/pins.json"))
	if err != nil {
		m.t.Fatal(err)
	}
	hash := regexp.MustCompile(`"go": .*"narHash":"sha256-([^"]*)"`).FindSubmatch(b)
	raw, err := base64.StdEncoding.DecodeString(string(hash[1]))
	if err != nil {
		m.t.Fatal(err)
	}
	return fmt.Sprintf("%x", raw)
}

// What ukl pins export made, a folder or one file, is enough: no go command is asked for a toolchain.
func TestTakesSeeds(t *testing.T) {
	m := newMachine(t)
	m.nix()
	m.goCommand()
	seeds := filepath.Join(m.cache, "seeds")
	name := m.seed()
	m.write(filepath.Join(seeds, "sha256", name), "nar\n")
	if out, err := exec.Command("tar", "-cf", seeds+".tar", "-C", seeds, "sha256").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	empty := exec.Command("tar", "-cf", seeds+".empty.tar", "-C", seeds, "--exclude="+name, "sha256")
	if out, err := empty.CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	for _, c := range []struct {
		from  string
		taken bool
	}{{seeds, true}, {seeds + ".tar", true}, {seeds + ".empty.tar", false}, {seeds + ".none", false}} {
		m.empty()
		_, stderr, code := m.run([]string{"UKL_SEEDS=" + c.from}, "list")
		calls := m.calls()
		fetched := strings.Contains(calls, "go mod download golang.org/toolchain")
		if code != 7 || strings.Contains(calls, "--restore") != c.taken || fetched == c.taken {
			t.Errorf("%s: exit %d: %s\n%s", c.from, code, stderr, calls)
		}
	}
}

// goCommand installs a go command that has a module cache with a toolchain and what go.sum names.
func (m *machine) goCommand() {
	m.t.Helper()
	m.write(filepath.Join(m.bin, "go"), `#!/bin/sh
echo go "$@" >>"$CALLS"
case "$*" in
  "env GOMODCACHE") echo "${STORE%/*}/module cache" ;;
  "env GOPROXY") echo https://proxy,direct ;;
  "mod download golang.org/toolchain@"*)
    echo "GOPROXY=$GOPROXY" >>"$CALLS"
    [ -z "$OFFLINE" ] && mkdir -p "$GOMODCACHE/$3/bin" "$GOMODCACHE/$3/pkg/tool" && : >"$GOMODCACHE/$3/bin/go" ;;
esac
`)
}

// The toolchain comes out of an archive, never from where a go command may have written to. What the host does not
// give, or gives otherwise, Nix makes from the archive of the release.
func TestToolchain(t *testing.T) {
	fromArchive := "ukl: building the Go toolchain from its published archive\n"
	for _, c := range []struct {
		name   string
		env    []string
		noGo   bool
		builds bool
	}{
		{name: "host"},
		{name: "offline", env: []string{"OFFLINE=yes"}, builds: true},
		{name: "another toolchain", env: []string{"WRONG=yes"}, builds: true},
		{name: "no Go", noGo: true, builds: true},
	} {
		m := newMachine(t)
		m.nix()
		if !c.noGo {
			m.goCommand()
		}
		m.empty()
		_, stderr, code := m.run(c.env, "list")
		calls := m.calls()
		if code != 7 || strings.Contains(stderr, fromArchive) != c.builds ||
			strings.Contains(calls, "--attr go ") != c.builds ||
			strings.Contains(calls, "module cache") {
			t.Errorf("%s: exit %d: %s\n%s", c.name, code, stderr, calls)
		}
		asked := "GOPROXY=file://" + m.cache + "/module cache/cache/download,https://proxy,direct\n"
		if calls, err := url.PathUnescape(calls); err != nil || strings.Contains(calls, asked) == c.noGo {
			t.Errorf("%s: %v, and asked in\n%s", c.name, err, calls)
		}
	}
	m := newMachine(t)
	m.nix()
	m.empty()
	m.fails(71, "ukl: error: the Go toolchain could not be built\n", "BROKEN=yes")
}

// The modules come through the toolchain in the store, into the layout of a proxy. The store here is below another
// root.
func TestModules(t *testing.T) {
	m := newMachine(t)
	m.nix()
	m.write(filepath.Join(m.checkout, "go.sum"), "a.b/C v1 h1:x=\na.b/C v1/go.mod h1:x=\nd v2/go.mod h1:x=\n")
	root := filepath.Join(m.cache, "root")
	if err := os.MkdirAll(root+filepath.Dir(m.cache), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(m.cache, root+m.cache); err != nil {
		t.Fatal(err)
	}
	m.goCommand()
	if err := os.MkdirAll(root+"/nix/store/source/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(m.bin, "go"), root+"/nix/store/source/bin/go"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.b/!c/@v/v1.zip", "a.b/!c/@v/v1.mod", "a.b/!c/@v/v1.info", "d/@v/v2.mod"} {
		m.write(filepath.Join(m.cache, "module cache/cache/download", name), name)
	}
	m.empty()
	m.write(filepath.Join(m.cache, "store/valid"), "/nix/store/source\n")
	store, err := os.ReadFile(filepath.Join(m.bin, "nix-store"))
	if err != nil {
		t.Fatal(err)
	}
	keeps := strings.Replace(string(store), "  *--add-fixed*)", "  *--add-fixed*) cp -R \"$4\" \"$STORE/added\";", 1)
	m.write(filepath.Join(m.bin, "nix-store"), keeps)
	_, stderr, code := m.run([]string{"NIX_REMOTE=local?root=" + root}, "list")
	calls := m.calls()
	if code != 7 || !strings.Contains(calls, "go mod download a.b/C@v1\n") || !strings.Contains(calls, "go mod graph\n") {
		t.Errorf("exit %d: %s\n%s", code, stderr, calls)
	}
	var got []string
	added := os.DirFS(filepath.Join(m.cache, "store/added"))
	err = fs.WalkDir(added, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, name)
		}
		return err
	})
	if want := []string{"a.b/!c/@v/v1.mod", "a.b/!c/@v/v1.zip", "d/@v/v2.mod"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}
