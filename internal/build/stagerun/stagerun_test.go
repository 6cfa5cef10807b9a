package stagerun

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ukl/internal/build/image"
)

// builder makes a program that is called as stage0 is, and runs the script itself.
func builder(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stage0")
	text := "#!/bin/sh\nfor script do :; done\nexec /bin/sh -eu -c \"$script\"\n"
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

func recipe(t *testing.T, script string) *image.Derivation {
	return &image.Derivation{
		Path: "/nix/store/00000000000000000000000000000000-stage-x.drv", Builder: builder(t),
		Args: []string{"enter", "/tree", script}, Env: map[string]string{"source": "/pinned", "kept": "two words"},
	}
}

func TestArgv(t *testing.T) {
	t.Setenv("NIX_REMOTE", "")
	s := Step{Recipe: recipe(t, "/s.sh"), Binds: map[string]string{"/build/obj": "/o", "/build/in": "/i"}}
	argv, err := s.Argv()
	if want := []string{
		s.Recipe.Builder, "enter", "-bind", "/i:/build/in", "-bind", "/o:/build/obj", "/tree",
		"/s.sh",
	}; err != nil || !slices.Equal(argv, want) {
		t.Errorf("%q, %v", argv, err)
	}
	s.Script, s.Args = "/build/in/mine.sh", []string{"x"}
	if argv, err = s.Argv(); err != nil || !slices.Equal(argv[6:], []string{"/tree", "/build/in/mine.sh", "x"}) {
		t.Errorf("%q, %v", argv, err)
	}
	s.Binds["/build/obj"] = "/a:b"
	if _, err := s.Argv(); err == nil || !strings.Contains(err.Error(), "colon") {
		t.Errorf("a colon: %v", err)
	}
	s.Binds = nil
	s.Recipe.Args = []string{"tree"}
	if _, err := s.Argv(); err == nil {
		t.Error("a builder without a tree was accepted")
	}
	s.Recipe.Args = []string{"enter", "/tree", "/s"}
	t.Setenv("NIX_REMOTE", "local?root=/elsewhere")
	if _, err := s.Argv(); err == nil || !strings.Contains(err.Error(), "NIX_REMOTE") {
		t.Errorf("another root: %v", err)
	}
}

func TestRun(t *testing.T) {
	t.Setenv("NIX_REMOTE", "")
	t.Setenv("OUTSIDE", "x")
	var out, said []string
	s := Step{
		Recipe: recipe(t, `echo "$source, $kept, ${OUTSIDE-unset}"; echo; echo oh >&2; printf last; exit 3`),
		Set:    map[string]string{"source": "/mine"},
		Out:    func(l string) { out = append(out, l) },
		Err:    func(l string) { said = append(said, l) },
	}
	err := s.Run(context.Background())
	var failed *Failed
	if !errors.As(err, &failed) || failed.Code != 3 || err.Error() != "stage-x ended with exit code 3" {
		t.Errorf("%v", err)
	}
	if !slices.Equal(out, []string{"/mine, two words, unset", "", "last"}) || !slices.Equal(said, []string{"oh"}) {
		t.Errorf("%q, %q", out, said)
	}
	s.Recipe, s.Out, s.Err = recipe(t, "echo unseen"), nil, nil
	if err := s.Run(context.Background()); err != nil {
		t.Error(err)
	}
}

// The end of the context is the end of all that was started, also of what does not hear SIGINT.
func TestCancel(t *testing.T) {
	t.Setenv("NIX_REMOTE", "")
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	var pid int
	s := Step{
		Recipe: recipe(t, `trap '' INT; sleep 600 & echo $!; wait`),
		Out: func(l string) {
			fmt.Sscan(l, &pid)
			cancel(cause)
		},
	}
	start := time.Now()
	if err := s.Run(ctx); !errors.Is(err, cause) {
		t.Errorf("%v", err)
	}
	// A process that ends has closed its streams, which is what Run waits for, a little before it is gone.
	for deadline := time.Now().Add(20 * time.Second); pid != 0 && syscall.Kill(pid, 0) == nil &&
		!zombie(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is left", pid)
		}
	}
	if pid == 0 {
		t.Error("it said no process")
	}
	if took := time.Since(start); took > 60*time.Second {
		t.Errorf("it took %s", took)
	}
}

// zombie tells whether a process has ended and nobody has asked for its status.
func zombie(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(text), ") Z ")
}
