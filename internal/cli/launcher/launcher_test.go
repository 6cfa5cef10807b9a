package launcher

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machine is a checkout with a launcher, a PATH of its own and a Nix that only pretends.
type machine struct {
	t                    *testing.T
	checkout, bin, cache string
}

// tools are what the launcher may use of a machine that has Go and git.
var tools = []string{"sh", "git", "env", "id", "grep", "sed", "awk", "dirname", "readlink", "mkdir", "mktemp", "rm", "chmod", "cp", "find", "cat", "ln"}

func newMachine(t *testing.T) *machine {
	t.Helper()
	dir := t.TempDir()
	m := &machine{t, filepath.Join(dir, "checkout"), filepath.Join(dir, "bin"), filepath.Join(dir, "cache")}
	for _, d := range []string{m.checkout, m.bin, m.cache, filepath.Join(m.checkout, "nixexprs")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range tools {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Skipf("%s: %v", name, err)
		}
		if err := os.Symlink(path, filepath.Join(m.bin, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"ukl", "go.mod", "nixexprs/pins.json"} {
		b, err := os.ReadFile(filepath.Join("../../..", f))
		if err != nil {
			t.Fatal(err)
		}
		m.write(filepath.Join(m.checkout, f), string(b))
	}
	m.git("init", "-q")
	m.git("add", ".")
	m.git("-c", "user.name=x", "-c", "user.email=x", "commit", "-qm", "x")
	return m
}

func (m *machine) write(file, text string) {
	m.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *machine) git(args ...string) {
	m.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = m.checkout
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("git %q: %v: %s", args, err, out)
	}
}

// nix installs a Nix whose store holds everything and whose builds give a program that prints its arguments.
func (m *machine) nix() {
	m.write(filepath.Join(m.bin, "nix-store"), "#!/bin/sh\necho nix-store \"$@\" >>\"$CALLS\"\n")
	m.write(filepath.Join(m.bin, "nix"), `#!/bin/sh
echo nix "$@" >>"$CALLS"
while [ $# -gt 0 ]; do
  case $1 in
    build) [ -z "$BROKEN" ] || exit 1 ;;
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

func (m *machine) run(extra []string, args ...string) (stdout, stderr string, code int) {
	m.t.Helper()
	cmd := exec.Command(filepath.Join(m.checkout, "ukl"), args...)
	cmd.Env = append([]string{
		"PATH=" + m.bin, "HOME=" + m.cache, "XDG_CACHE_HOME=" + m.cache, "TMPDIR=" + m.cache,
		"CALLS=" + filepath.Join(m.cache, "calls"), "STORE=" + filepath.Join(m.cache, "store"),
	}, extra...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
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
	for _, want := range []string{"#ukl", "--option sandbox true --option sandbox-fallback false", "--no-use-registries"} {
		if !strings.Contains(calls, want) {
			t.Errorf("no %q in\n%s", want, calls)
		}
	}
	// Again: nothing is asked, nothing is said.
	if stdout, stderr, code := m.run(nil, args...); stdout != want || stderr != "" || code != 7 || m.calls() != "" {
		t.Errorf("second run: exit %d\n%s\n%s", code, stdout, stderr)
	}
	// From elsewhere, through a link.
	link := filepath.Join(m.bin, "ukl")
	if err := os.Symlink(filepath.Join(m.checkout, "ukl"), link); err != nil {
		t.Fatal(err)
	}
	// A changed file is another state; the same file again is the same state again.
	pins := filepath.Join(m.checkout, "nixexprs/pins.json")
	before, _ := os.ReadFile(pins)
	m.write(pins, string(before)+"\n")
	if _, _, code := m.run(nil); code != 7 || !strings.Contains(m.calls(), " build ") {
		t.Errorf("a changed checkout was not built: exit %d", code)
	}
	m.write(pins, string(before))
	if _, _, code := m.run(nil); code != 7 || m.calls() != "" {
		t.Errorf("a known state was built again: exit %d", code)
	}
	if left, _ := filepath.Glob(filepath.Join(m.cache, "tmp.*")); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

func TestWhatIsMissingIsSaid(t *testing.T) {
	m := newMachine(t)
	_, stderr, code := m.run(nil, "list")
	if code != 69 || !strings.Contains(stderr, "ukl: error: Nix is not installed\nukl: hint: install Nix 2.8 or later") {
		t.Errorf("without Nix and apt: exit %d, %s", code, stderr)
	}
	m.nix()
	if _, stderr, code := m.run([]string{"BROKEN=yes"}, "list"); code != 71 || !strings.Contains(stderr, "ukl: error: ukl could not be built") {
		t.Errorf("failed build: exit %d, %s", code, stderr)
	}
	os.RemoveAll(filepath.Join(m.checkout, ".git"))
	if _, stderr, code := m.run([]string{"GIT_CEILING_DIRECTORIES=" + filepath.Dir(m.checkout)}, "list"); code != 69 || !strings.Contains(stderr, "is not a git checkout") {
		t.Errorf("without git: exit %d, %s", code, stderr)
	}
}

// On a Debian-like machine root gets Nix from apt: with the lists as they are, else after an update.
func TestInstallsNixWithApt(t *testing.T) {
	m := newMachine(t)
	m.nix()
	for _, name := range []string{"nix", "nix-store"} {
		if err := os.Rename(filepath.Join(m.bin, name), filepath.Join(m.cache, name)); err != nil {
			t.Fatal(err)
		}
	}
	m.write(filepath.Join(m.bin, "apt-get"), `#!/bin/sh
echo noise
echo apt-get "$@" >>"$CALLS"
case "$*" in
  *update*) : >"$STORE.updated" ;;
  *install*nix-bin*) [ -e "$STORE.updated" ] || exit 100; cp "${STORE%/*}/nix" "${STORE%/*}/nix-store" "${0%/*}/" ;;
esac
`)
	stdout, stderr, code := m.run(nil, "list")
	if os.Getuid() != 0 {
		if code != 69 || !strings.Contains(stderr, "ukl: hint: sudo apt-get install nix-bin") {
			t.Errorf("exit %d, %s", code, stderr)
		}
		return
	}
	if code != 7 || stdout != "<list>\n" {
		t.Errorf("exit %d\n%s\n%s", code, stdout, stderr)
	}
	calls := m.calls()
	if strings.Count(calls, "apt-get") != 3 || !strings.Contains(calls, "update") {
		t.Errorf("apt was asked\n%s", calls)
	}
}

// What ukl pins export made, a folder or one file, is enough: no go command is asked.
func TestTakesSeeds(t *testing.T) {
	m := newMachine(t)
	m.nix()
	path, err := exec.LookPath("tar")
	if err != nil {
		t.Skip(err)
	}
	if err := os.Symlink(path, filepath.Join(m.bin, "tar")); err != nil {
		t.Fatal(err)
	}
	// A store that has what was restored from a NAR with the right text.
	m.write(filepath.Join(m.bin, "nix-store"), `#!/bin/sh
case "$*" in
  *--check-validity*) [ -e "$STORE.have" ] ;;
  *--restore*) read -r text && [ "$text" = nar ] && mkdir "$2" && echo restored >>"$CALLS" ;;
esac
`)
	nix := filepath.Join(m.bin, "nix")
	build, _ := os.ReadFile(nix)
	m.write(nix, "#!/bin/sh\ncase \"$*\" in *to-base16*) echo 0123; exit ;; *add-path*) echo x >\"$STORE.have\"; exit ;; esac\n"+string(build))
	m.write(filepath.Join(m.bin, "go"), "#!/bin/sh\necho go \"$@\" >>\"$CALLS\"\nexit 1\n")
	seeds := filepath.Join(m.cache, "seeds")
	if err := os.MkdirAll(filepath.Join(seeds, "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.write(filepath.Join(seeds, "sha256/0123"), "nar\n")
	if out, err := exec.Command("tar", "-cf", seeds+".tar", "-C", seeds, "sha256").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if out, err := exec.Command("tar", "-cf", seeds+".empty.tar", "-C", seeds, "--exclude=0123", "sha256").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	for _, c := range []struct {
		from string
		code int
	}{{seeds, 7}, {seeds + ".tar", 7}, {seeds + ".empty.tar", 69}, {seeds + ".none", 69}} {
		os.Remove(filepath.Join(m.cache, "store.have"))
		os.RemoveAll(filepath.Join(m.cache, "ukl/launcher"))
		os.RemoveAll(filepath.Join(m.cache, "store"))
		_, stderr, code := m.run([]string{"UKL_SEEDS=" + c.from}, "list")
		calls := m.calls()
		if code != c.code || strings.Contains(calls, "restored") != (code == 7) || strings.Contains(calls, "go mod") == (code == 7) {
			t.Errorf("%s: exit %d: %s\n%s", c.from, code, stderr, calls)
		}
	}
}
