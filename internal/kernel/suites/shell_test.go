package suites

import (
	"archive/tar"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ukl/internal/app/manifest"
	"ukl/internal/host/nix"
	"ukl/internal/pin/pins"
)

const (
	shellApp   = "testdata/shell"
	shellTable = "../../../docs/shell.tsv"
	// shellSubset is what runs without -whole: what asks most of a kernel, descriptors, signals, processes and pipes.
	shellSubset = `^busybox/(ash-(psubst|read|redir|signals|standalone)|cat|cp|xargs)/`
	// shellLimit is how long a machine may take, on a loaded host without KVM.
	shellLimit = "90m"
)

// TestShell runs the tests of busybox, of its shell and of its commands, in ring 3 and in ring 0, and compares. The
// program is Debian's, as it is, so its system calls are SYSCALL instructions, and there is no bypass.
func TestShell(t *testing.T) {
	if os.Getenv(bootEnv) == "off" {
		t.Skipf("%s=off", bootEnv)
	}
	table := readTable(t, shellTable)
	if *only != "" && !table.has(regexp.MustCompile(*only)) {
		t.Skipf("-only %s: no case of %s", *only, shellTable)
	}
	if *update && !*whole {
		t.Fatal("-update needs -whole")
	}
	ukl := command(t)
	source := shellSource(t, ukl)
	chosen := shellSubset
	switch {
	case *only != "":
		chosen = *only
	case *whole:
		chosen = ""
	}
	results := map[string]map[string]Result{}
	var mu sync.Mutex
	t.Run("modes", func(t *testing.T) {
		for _, mode := range []string{Process, Gate} {
			if !slices.Contains(strings.Split(*modes, ","), mode) {
				continue
			}
			t.Run(mode, func(t *testing.T) {
				t.Parallel()
				got := shell(t, ukl, source, mode, chosen)
				mu.Lock()
				results[mode] = got
				mu.Unlock()
			})
		}
	})
	for mode, got := range results {
		passed := 0
		for _, r := range got {
			if r.Verdict == Pass {
				passed++
			}
		}
		t.Logf("mode %s: %d of %d cases pass", mode, passed, len(got))
		if again := unexpected(table, mode, results); len(again) > 0 {
			t.Logf("mode %s: once more, alone: %s", mode, strings.Join(again, " "))
			directories := map[string]bool{}
			for _, name := range again {
				directories[regexp.QuoteMeta(path.Dir(name))] = true
			}
			wanted := "^(" + strings.Join(slices.Sorted(maps.Keys(directories)), "|") + ")(/|$)"
			for name, r := range shell(t, ukl, source, mode, wanted) {
				if slices.Contains(again, name) && r.Verdict == Pass {
					got[name] = r
				}
			}
		}
		if *only != "" {
			for _, name := range slices.Sorted(maps.Keys(got)) {
				t.Logf("%s %s %s\n%s", mode, name, got[name].Verdict, strings.Join(got[name].Output, "\n"))
			}
		}
	}
	if *update {
		record(t, shellTable, table, results)
		return
	}
	for mode, got := range results {
		for _, sentence := range table.Compare(mode, got) {
			name, _, _ := strings.Cut(sentence, ": ")
			t.Errorf("%s\n%s", sentence, strings.Join(got[name].Output, "\n"))
		}
	}
}

// shell runs the cases whose name matches chosen in one machine.
func shell(t *testing.T, ukl, source, mode, chosen string) map[string]Result {
	t.Helper()
	args := []string{"run", "-q", "--timeout", shellLimit}
	ring := "ring0"
	if mode == Process {
		args, ring = append(args, "--mode", "process"), "ring3"
	}
	here, err := filepath.Abs(shellApp)
	if err != nil {
		t.Fatal(err)
	}
	args = append(args, "--volume", source+":/suite:ro", "--volume", here+":/shell:ro", shellApp, "--",
		"sh", "/shell/run.sh", "/app", "/suite", ring, chosen)
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Hour)
	defer stop()
	cmd := exec.CommandContext(ctx, ukl, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	l, perr := Parse(&stdout)
	if perr != nil {
		t.Fatal(perr)
	}
	if err != nil || !l.Done || l.Ring != ring || len(l.Ended) == 0 {
		t.Fatalf("mode %s: %v; %d cases ended, these ran: %s\n%s", mode, err, len(l.Ended), strings.Join(l.Running, " "),
			&stderr)
	}
	return l.Ended
}

// shellSource is busybox's source, unpacked.
func shellSource(t *testing.T, ukl string) string {
	t.Helper()
	if out, err := exec.Command(ukl, "pins", "fetch", shellApp).CombinedOutput(); err != nil {
		t.Fatalf("ukl pins fetch %s: %v\n%s", shellApp, err, out)
	}
	m, err := manifest.Load(shellApp)
	if err != nil {
		t.Fatal(err)
	}
	own, err := pins.LoadOwn(os.DirFS(shellApp), shellApp, m.Wants())
	if err != nil {
		t.Fatal(err)
	}
	var archive string
	for _, p := range own.All() {
		if p.URL != "" {
			archive = nix.Physical(p.StorePath())
		}
	}
	packed, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	dir := t.TempDir()
	in := tar.NewReader(bzip2.NewReader(packed))
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err == nil {
			err = unpack(dir, h, in)
		}
		if err != nil {
			t.Fatalf("%s: %v", archive, err)
		}
	}
}

// unpack writes one file of the archive that the tests need, without the directory that has all of them.
func unpack(dir string, h *tar.Header, r io.Reader) error {
	_, name, _ := strings.Cut(h.Name, "/")
	if !filepath.IsLocal(name) || !strings.HasPrefix(name, "testsuite/") && !strings.HasPrefix(name, "shell/ash_test/") {
		return nil
	}
	to := filepath.Join(dir, name)
	switch h.Typeflag {
	case tar.TypeDir:
		return os.MkdirAll(to, 0o755)
	case tar.TypeSymlink:
		return os.Symlink(h.Linkname, to)
	case tar.TypeReg:
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, h.FileInfo().Mode().Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("%s is neither file, directory nor link", h.Name)
}

// has says whether a case of the table has a name that matches.
func (t Table) has(name *regexp.Regexp) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(t)), name.MatchString)
}
