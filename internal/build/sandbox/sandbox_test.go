package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain is also the child that Run starts: the test binary stands in for stage0.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Inside {
		os.Stderr.WriteString("enter: " + Child(os.Args[2:]).Error() + "\n")
		os.Exit(99)
	}
	os.Exit(m.Run())
}

// pinned returns the build tools' tree when it is in the store: by content, it can be no other.
func pinned(t *testing.T) string {
	t.Helper()
	trees, _ := filepath.Glob("/nix/store/*-tree-tools")
	for _, p := range trees {
		if _, err := os.Stat(filepath.Join(p, "usr/bin/dash")); err == nil {
			return p
		}
	}
	t.Skip("no tree-tools in /nix/store: nix build .#tools")
	return ""
}

// output runs a command in the tree and returns what it wrote to /build/out/o.
func output(t *testing.T, o Options, command string) (string, int) {
	t.Helper()
	dir := t.TempDir()
	o.Tree = pinned(t)
	o.Binds = append(o.Binds, dir+":/build/out")
	o.Args = []string{"-c", "exec >/build/out/o 2>&1; " + command}
	code, err := Run(o)
	if errors.Is(err, ErrNamespaces) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "o"))
	return string(b), code
}

func TestRunShowsOnlyTheTree(t *testing.T) {
	source := t.TempDir()
	os.WriteFile(filepath.Join(source, "f"), []byte("seen\n"), 0o644)
	got, code := output(t, Options{Source: source}, `
		cat /build/src/f
		pwd; id -u; umask
		echo "$HOME $PATH $LC_ALL $TZ $SOURCE_DATE_EPOCH"
		touch /usr/x /build/src/x /x || echo read-only
		ls /home /mnt /root/x || echo gone
		touch /build/obj/x /tmp/x && echo writable`)
	if code != 0 {
		t.Errorf("exit %d", code)
	}
	for _, want := range []string{
		"seen\n", "/build\n1000\n0022\n", "/build /usr/bin:/bin:/usr/sbin:/sbin C UTC 1\n",
		"read-only\n", "gone\n", "writable\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

func TestRunHasNoPrivilege(t *testing.T) {
	got, _ := output(t, Options{}, `grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status`)
	for line := range strings.Lines(got) {
		if !strings.HasSuffix(strings.TrimSpace(line), "\t0000000000000000") {
			t.Errorf("a capability is left: %s", line)
		}
	}
	if strings.Count(got, "\n") != 4 {
		t.Errorf("got %q", got)
	}
}

func TestRunReturnsTheStatus(t *testing.T) {
	for command, want := range map[string]int{"exit 7": 7, "false; true": 1, "kill -9 $$": 137, "no-such-command": 127} {
		if _, code := output(t, Options{}, command); code != want {
			t.Errorf("%s: exit %d, want %d", command, code, want)
		}
	}
}

func TestRunRefusesBindsElsewhere(t *testing.T) {
	for _, b := range []string{"/tmp", "/tmp:/etc", "/tmp:/build/../etc"} {
		code, err := Run(Options{Tree: pinned(t), Binds: []string{b}, Args: []string{"-c", "exit 0"}})
		if errors.Is(err, ErrNamespaces) {
			t.Skip(err)
		}
		if err == nil && code == 0 {
			t.Errorf("%s was mounted", b)
		}
	}
}

func TestEnvironment(t *testing.T) {
	got := environment([]string{
		"NIX_BUILD_CORES=3", "PATH=/evil", "TZ=Mars", "out=/nix/store/x", "TMP=/y",
		"NIX_STORE=/nix/store",
	})
	for _, want := range []string{
		"NIX_BUILD_CORES=3", "out=/nix/store/x", "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
		"TZ=UTC",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	for _, bad := range []string{"PATH=/evil", "TZ=Mars", "TMP=/y", "NIX_STORE=/nix/store"} {
		if slices.Contains(got, bad) {
			t.Errorf("%s in %q", bad, got)
		}
	}
	if got := environment([]string{"NIX_BUILD_CORES=0"}); slices.Contains(got, "NIX_BUILD_CORES=0") {
		t.Error("0 cores reach make, which starts unlimited jobs")
	}
}
