// Package worktree compiles the source in a work tree as the stages of nixexprs compile the pinned one: with the same
// compiler, scripts, flags and configuration, at the same paths. But it compiles only what has changed, links
// applications into the result without Nix, and puts nothing into the store. What it makes is in the work tree's git
// directory, below ukl/.
package worktree

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"ukl/internal/app/apps"
	"ukl/internal/build/image"
	"ukl/internal/build/stagerun"
	"ukl/internal/cli/exit"
	"ukl/internal/host/nix"
	"ukl/internal/host/scratch"
	"ukl/internal/kernel/series"
	"ukl/internal/pin/pins"
	"ukl/nixexprs"
)

// Attributes of nixexprs/default.nix.
const (
	attrSource  = "linux-source"
	attrObjects = "linux-objects"
	attrLink    = "link"
)

// Places inside.
const (
	insideObjects = "/build/objects" // what linux/objects.sh puts at $out
	insideLinked  = "/build/linked"
	insideScripts = "/build/scripts" // nixexprs/linux
	insidePatches = "/build/patches"
	insideSource  = "/build/unpacked"
	insideCache   = "/build/cache"
)

// Workshop is what all work on kernels needs.
type Workshop struct {
	Builder *image.Builder
	Jobs    int               // files to compile at a time; 0 is one for each CPU
	Say     func(line string) // gets what compilers say; nil keeps it for the error
}

// Broken is something that does not compile, or does not link.
type Broken struct {
	Stage string
	Lines []string // the end of what was said, unless that went to Say
}

func (e *Broken) Error() string { return fmt.Sprintf("%s: the build failed", e.Stage) }

// ExitCode is the code of a command that this ends.
func (*Broken) ExitCode() exit.Code { return exit.BuildFailed }

// Details are the end of what the build said.
func (e *Broken) Details() []string { return e.Lines }

// Busy says that another process works in the same object directory.
type Busy struct{ Dir string }

func (e *Busy) Error() string { return fmt.Sprintf("another ukl is compiling in %s", e.Dir) }

// Stale says that a work tree is of another source than the one that is pinned now.
type Stale struct{ Dir, Have, Pinned string }

func (e *Stale) Error() string {
	return fmt.Sprintf("%s has the source %s, and the pinned one is %s", e.Dir, e.Have, e.Pinned)
}

// ExitCode is the code of a command that this ends.
func (*Stale) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Stale) Hint() string {
	return "make a new work tree with ukl kernel init, and move your commits onto its base with git rebase --onto"
}

// Source names the pinned source of the kernel, and the pin's SHA-256.
func Source() (name, sum string, err error) {
	lock, err := pins.Load(nixexprs.FS)
	if err != nil {
		return "", "", err
	}
	of := lock.Of("linux")
	if len(of) != 1 {
		return "", "", fmt.Errorf("the lock has %d sources of the kernel", len(of))
	}
	return of[0].String(), of[0].SHA256, nil
}

// Current demands that a work tree is of the pinned source.
func Current(t *series.Tree) error {
	name, sum, err := Source()
	if err == nil && sum != t.SHA256 {
		err = &Stale{t.Dir, t.Source, name}
	}
	return err
}

// run runs a step and shows it as a build of its stage.
func (w *Workshop) run(ctx context.Context, s stagerun.Step) error {
	name := nix.Name(s.Recipe.Path)
	show := w.Builder.Progress.Build
	show(nix.Event{Kind: nix.Start, Stage: name})
	out := s.Out
	s.Out = func(line string) {
		show(nix.Event{Kind: nix.Line, Stage: name, Text: line})
		if out != nil {
			out(line)
		}
	}
	var kept []string
	say := s.Err
	if say == nil {
		say = w.Say
	}
	if say == nil {
		say = func(line string) {
			if kept = append(kept, line); len(kept) > tail {
				kept = kept[1:]
			}
		}
	}
	s.Err = func(line string) {
		if !usual.MatchString(line) {
			say(line)
		}
	}
	err := s.Run(ctx)
	if failed := (*stagerun.Failed)(nil); errors.As(err, &failed) {
		return &Broken{name, kept}
	}
	if err == nil {
		show(nix.Event{Kind: nix.Stop, Stage: name})
	}
	return err
}

// usual is what every build says: Kconfig of each line of ours that comes after tinyconfig's, ld of the kernel's
// assembly.
var usual = regexp.MustCompile(`^\.config:\d+:warning: override: |^ld: warning: .*missing \.note\.GNU-stack section|^ld: NOTE: This behaviour is deprecated`)

// tail is how many lines of a failed build are kept for its error.
const tail = 20

// jobs is the number that make is given.
func (w *Workshop) jobs() string {
	if w.Jobs > 0 {
		return strconv.Itoa(w.Jobs)
	}
	return strconv.Itoa(runtime.NumCPU())
}

// Unpack puts the pinned source, without a patch, into the new directory dir.
func (w *Workshop) Unpack(ctx context.Context, dir string) error {
	recipe, err := w.Builder.Recipe(ctx, apps.App{}, attrSource)
	if err != nil {
		return err
	}
	// The stage's script wants at least one patch. An empty one changes nothing.
	none, done, err := scratch.Dir("ukl-kernel-")
	if err != nil {
		return err
	}
	defer done()
	if err := os.WriteFile(filepath.Join(none, "none.patch"), nil, 0o644); err != nil {
		return err
	}
	return w.run(ctx, stagerun.Step{
		Recipe: recipe,
		Set:    map[string]string{"patches": insidePatches, "out": filepath.Join(insideSource, filepath.Base(dir))},
		Binds:  map[string]string{insidePatches: none, insideSource: filepath.Dir(dir)},
	})
}

// Objects is a kernel that was compiled, without an application.
type Objects struct {
	Dir string // the kernel's object directory
	out string // what linux/objects.sh made of it
}

// place is where the objects of a configuration are.
func place(t *series.Tree, additions string) string {
	name := "plain"
	if additions != "" {
		sum := sha256.Sum256([]byte(additions))
		name = hex.EncodeToString(sum[:6])
	}
	return filepath.Join(t.Git, "ukl", name)
}

// Build compiles the kernel of an application, which adds lines to its configuration or does not. With targets, it
// makes only these.
func (w *Workshop) Build(ctx context.Context, t *series.Tree, a apps.App, targets []string) (Objects, error) {
	recipe, err := w.Builder.Recipe(ctx, a, attrObjects, attrSource)
	if err != nil {
		return Objects{}, err
	}
	return w.compile(ctx, compilation{
		recipe: recipe, source: t.Dir, place: place(t, recipe.Env["additions"]),
		targets: targets,
	})
}

// compilation is one call of linux/incremental.sh.
type compilation struct {
	recipe        *image.Derivation // of linux-objects
	source, place string
	targets       []string
	cache         string            // directory for objects of all that was ever compiled; "" is none
	set           map[string]string // variables besides
	said          func(string)      // gets what compilers say; nil is the Workshop's Say
}

func (w *Workshop) compile(ctx context.Context, c compilation) (Objects, error) {
	o := Objects{filepath.Join(c.place, "obj"), filepath.Join(c.place, "out")}
	scripts, err := w.Builder.Expressions()
	if err != nil {
		return o, err
	}
	binds := map[string]string{"/build/obj": o.Dir, insideObjects: o.out, insideScripts: filepath.Join(scripts, "linux")}
	set := map[string]string{
		"stage": c.recipe.Args[2], "targets": strings.Join(c.targets, "\n"), "cache": "",
		"source": c.source, "out": insideObjects, "NIX_BUILD_CORES": w.jobs(),
	}
	if c.cache != "" {
		binds[insideCache], set["cache"] = c.cache, insideCache
	}
	maps.Copy(set, c.set)
	for _, dir := range binds {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return o, err
		}
	}
	unlock, err := lock(c.place)
	if err != nil {
		return o, err
	}
	defer unlock()
	return o, w.run(ctx, stagerun.Step{
		Recipe: c.recipe,
		Set:    set,
		Binds:  binds,
		Script: insideScripts + "/incremental.sh",
		Err:    c.said,
	})
}

// lock makes sure that nobody else works in a directory. The lock ends with the process, too.
func lock(dir string) (func(), error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, &Busy{dir}
	}
	return func() { f.Close() }, nil
}

// Link compiles the kernel of an application and links the two. It returns the vmlinux, which has the files of the link
// stage beside it.
func (w *Workshop) Link(ctx context.Context, t *series.Tree, a apps.App) (string, error) {
	o, err := w.Build(ctx, t, a, nil)
	if err != nil {
		return "", err
	}
	return w.link(ctx, o, a)
}

func (w *Workshop) link(ctx context.Context, o Objects, a apps.App) (string, error) {
	recipe, err := w.Builder.Recipe(ctx, a, attrLink, attrObjects)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(filepath.Dir(o.out), "linked", a.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	fresh, final := filepath.Join(dir, "new"), filepath.Join(dir, "image")
	if err := os.RemoveAll(fresh); err != nil {
		return "", err
	}
	if err := w.run(ctx, stagerun.Step{
		Recipe: recipe,
		Set:    map[string]string{"objects": insideObjects, "out": insideLinked + "/new", "NIX_BUILD_CORES": w.jobs()},
		Binds:  map[string]string{insideObjects: o.out, insideLinked: dir},
	}); err != nil {
		return "", err
	}
	if err := errors.Join(os.RemoveAll(final), os.Rename(fresh, final)); err != nil {
		return "", err
	}
	return filepath.Join(final, "vmlinux"), nil
}
