// Package stagerun runs the builder of a stage as Nix would, but outside of Nix: in the same tree, by the same script,
// with the same variables, except for those that the caller replaces. So a directory of one's own can take the place of
// an input, and a build directory can be kept. Nothing keeps such a build from reading what it should not: its result
// is for work by hand, and never gets into the store.
package stagerun

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ukl/internal/build/image"
	"ukl/internal/host/nix"
)

// Step is one run of a stage's builder.
type Step struct {
	Recipe *image.Derivation
	Set    map[string]string // variables instead of, or besides, the recipe's
	Binds  map[string]string // directories below /build, and the host's that are shown there, writable
	Script string            // instead of the recipe's, a path inside; "" is the recipe's
	Args   []string          // of Script
	Out    func(string)      // gets each line of stdout; nil drops them
	Err    func(string)      // and of stderr
}

// Failed is a builder that ended badly. What it said went to the Step's Err.
type Failed struct {
	Stage string
	Code  int
}

func (e *Failed) Error() string { return fmt.Sprintf("%s ended with exit code %d", e.Stage, e.Code) }

// patience is how long what runs inside may take to remove what it has half made.
const patience = 5 * time.Second

// Argv is the command. It is the recipe's, with more directories to show.
func (s Step) Argv() ([]string, error) {
	r := s.Recipe
	if len(r.Args) != 3 || r.Args[0] != "enter" {
		return nil, fmt.Errorf("%s is not built inside a tree: %q", nix.Name(r.Path), r.Args)
	}
	if nix.Physical(r.Builder) != r.Builder {
		return nil, fmt.Errorf("NIX_REMOTE names a store with another root, which a build outside of Nix cannot read")
	}
	argv := []string{r.Builder, r.Args[0]}
	for _, inside := range slices.Sorted(maps.Keys(s.Binds)) {
		if strings.ContainsAny(s.Binds[inside], ":\n") {
			return nil, fmt.Errorf("%q cannot be mounted in the tree: its name has a colon or a line break", s.Binds[inside])
		}
		argv = append(argv, "-bind", s.Binds[inside]+":"+inside)
	}
	argv = append(argv, r.Args[1])
	if s.Script == "" {
		return append(argv, r.Args[2]), nil
	}
	return append(append(argv, s.Script), s.Args...), nil
}

// environment is the recipe's, and nothing of the caller's.
func (s Step) environment() []string {
	all := maps.Clone(s.Recipe.Env)
	maps.Copy(all, s.Set)
	if dir, ok := os.LookupEnv("TMPDIR"); ok {
		all["TMPDIR"] = dir // of the builder's own directory; inside there is another
	}
	var list []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		list = append(list, name+"="+all[name])
	}
	return list
}

// Run waits for the builder. If the context ends, so does everything that the builder has started.
func (s Step) Run(ctx context.Context) error {
	argv, err := s.Argv()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = s.environment()
	// Inside, SIGINT may be ignored. The builder itself ignores SIGTERM and waits for what it has started, then removes
	// its directory.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	over := make(chan struct{})
	cmd.Cancel = func() error {
		group := -cmd.Process.Pid
		go func() {
			select {
			case <-over:
			case <-time.After(patience):
				_ = syscall.Kill(group, syscall.SIGKILL)
			}
		}()
		return syscall.Kill(group, syscall.SIGTERM)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	var both sync.WaitGroup
	both.Go(func() { lines(out, s.Out) })
	both.Go(func() { lines(said, s.Err) })
	// Whatever has the streams open keeps its process group from being another's.
	both.Wait()
	close(over)
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &exit):
		return &Failed{nix.Name(s.Recipe.Path), exit.ExitCode()}
	}
	return err
}

// lines hands on line by line, however long they are.
func lines(r io.Reader, to func(string)) {
	br := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := br.ReadString('\n')
		if line = strings.TrimSuffix(line, "\n"); to != nil && (line != "" || err == nil) {
			to(line)
		}
		if err != nil {
			return
		}
	}
}
