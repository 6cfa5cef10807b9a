package series

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/syntax"

	"ukl/internal/cli/exit"
	"ukl/internal/host/distribution"
	"ukl/internal/host/scratch"
)

// Origin is what a work tree was made from.
type Origin struct {
	Source string // the pinned source, with its version
	SHA256 string // of the pin
	Dir    string // of the series' files, absolute; "" if they came out of ukl itself
	Series string // Hash of the series
}

// Tree is a git work tree that Create has made.
type Tree struct {
	Dir  string // the work tree, absolute
	Git  string // its git directory, absolute; what is below ukl/ in it is ours
	Base string // the commit that is the source without patches
	Origin
	trust []string // more environment for git
}

// NoGit says that this machine has no git.
type NoGit struct{}

func (NoGit) Error() string { return "git is not installed" }

// Hint is the line that helps.
func (NoGit) Hint() string { return cmp.Or(distribution.Here().Install("git"), "install git") }

// NoTree says that a directory is not in a work tree that Create has made.
type NoTree struct{ Dir string }

func (e *NoTree) Error() string { return fmt.Sprintf("%s is not in a work tree of ukl kernel", e.Dir) }

// ExitCode is the code of a command that this ends.
func (*NoTree) ExitCode() exit.Code { return exit.NoInput }

// Hint is the line that helps.
func (*NoTree) Hint() string { return "ukl kernel init makes one; --tree DIR names it" }

// Foreign is a repository of another user. Git does not touch it: its hooks and its configuration could run anything.
type Foreign struct{ Dir string }

func (e *Foreign) Error() string {
	return fmt.Sprintf("git does not trust %s, which another user owns", e.Dir)
}

// ExitCode is the code of a command that this ends.
func (*Foreign) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Foreign) Hint() string {
	dir, err := syntax.Quote(e.Dir, syntax.LangBash)
	if err != nil {
		return ""
	}
	return "git config --global --add safe.directory " + dir
}

// Stops says that a patch does not apply. The work tree waits, as git am does, for somebody to resolve it.
type Stops struct {
	Patch, Source string
	Lines         []string // git's words
}

func (e *Stops) Error() string { return fmt.Sprintf("%s does not apply to %s", e.Patch, e.Source) }

// Unfinished says that a work tree is not in a state that can be written as a series.
type Unfinished struct {
	What  string
	Lines []string
	Help  string
}

func (e *Unfinished) Error() string { return e.What }

// ExitCode is the code of a command that this ends.
func (*Unfinished) ExitCode() exit.Code { return exit.Input }

// Details are git's words.
func (e *Unfinished) Details() []string { return e.Lines }

// Hint is the line that helps.
func (e *Unfinished) Hint() string { return e.Help }

// gitError is a git that failed.
type gitError struct {
	args []string
	said string
	err  error
}

// Error has git's reason, which advice may follow.
func (e *gitError) Error() string {
	said := e.err.Error()
	for line := range strings.Lines(e.said) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		said = line
		if strings.HasPrefix(line, "fatal: ") {
			break
		}
	}
	return fmt.Sprintf("git %s: %s", e.args[0], said)
}

// foreign is the repository of another user that git has refused; "" if it had another reason.
func (e *gitError) foreign() string {
	m := refusal.FindStringSubmatch(e.said)
	if m == nil {
		return ""
	}
	return m[1] + m[2]
}

// refusal are git's words of a repository that another user owns, those of 2.35 last.
var refusal = regexp.MustCompile(`dubious ownership in repository at '(.*)'|unsafe repository \('(.*)' is owned by`)

func (e *gitError) Unwrap() error { return e.err }

// git runs git in a directory. Whoever calls has a name, an editor, filters and formats of his own in his
// configuration; none of them may get into what is made here.
func git(ctx context.Context, dir string, more []string, args ...string) (string, error) {
	program, err := exec.LookPath("git")
	if err != nil {
		return "", NoGit{}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GIT_") })
	cmd.Env = append(cmd.Env, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	cmd.Env = append(cmd.Env, more...)
	// A killed git leaves the lock of an index behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return out.String(), &gitError{args[firstWord(args):], said.String(), err}
	}
	return out.String(), nil
}

// patience is how long an interrupted git may take to end.
const patience = 10 * time.Second

// firstWord is the index of git's command behind the settings before it.
func firstWord(args []string) int {
	n := 0
	for n+2 < len(args) && args[n] == "-c" {
		n += 2
	}
	return n
}

// trusted has the caller's directories of other users, as environment for git: of the configuration, this alone
// counts. nil if there are none.
func trusted(ctx context.Context) []string {
	cmd := exec.CommandContext(ctx, "git", "config", "--type=path", "-z", "--get-all", "safe.directory")
	cmd.Dir = "/"
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "GIT_CONFIG")
	})
	out, err := cmd.Output()
	if err != nil || len(out) == 0 {
		return nil
	}
	var env []string
	for i, dir := range strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=safe.directory", i), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, dir))
	}
	return append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(env)/2))
}

// maker is who has committed what Create makes. With the dates fixed, too, everybody's commits of one series have the
// same names.
func maker() []string {
	return []string{
		"GIT_AUTHOR_NAME=ukl", "GIT_AUTHOR_EMAIL=ukl@ukl.invalid", "GIT_AUTHOR_DATE=@1 +0000",
		"GIT_COMMITTER_NAME=ukl", "GIT_COMMITTER_EMAIL=ukl@ukl.invalid", "GIT_COMMITTER_DATE=@1 +0000",
	}
}

// Names in the work tree's own git configuration.
const (
	keyBase   = "ukl.base"
	keySource = "ukl.source"
	keySHA256 = "ukl.sha256"
	keyDir    = "ukl.directory"
	keySeries = "ukl.series"
)

// Create makes a git work tree of the directory dir, which holds the source: a commit of that, and one for each patch.
// If one does not apply the error is a *Stops, and the tree is as git am left it.
func Create(ctx context.Context, dir string, o Origin, list []Patch) error {
	run := func(args ...string) (string, error) { return git(ctx, dir, maker(), args...) }
	if _, err := run("-c", "init.defaultBranch=ukl", "init", "-q", "--template="); err != nil {
		return err
	}
	// The threshold makes git write one pack instead of 40,000 files: 12 s instead of minutes. The source's .gitignore is
	// not about what is in its archive.
	if _, err := run("-c", "core.bigFileThreshold=1", "-c", "core.compression=1", "add", "--all", "--force"); err != nil {
		return err
	}
	about := fmt.Sprintf("%s\n\nThe pinned source as ukl unpacks it, without a patch.\nSHA-256: %s", o.Source, o.SHA256)
	if _, err := run("-c", "gc.auto=0", "commit", "-q", "--no-gpg-sign", "--no-verify", "-m", about); err != nil {
		return err
	}
	base, err := run("rev-parse", "HEAD")
	if err != nil {
		return err
	}
	// A name for people: git log base..
	if _, err := run("tag", "base"); err != nil {
		return err
	}
	settings := [][2]string{
		{keyBase, strings.TrimSpace(base)},
		{keySource, o.Source},
		{keySHA256, o.SHA256},
		{keySeries, o.Series},
	}
	if o.Dir != "" {
		settings = append(settings, [2]string{keyDir, o.Dir})
	}
	for _, s := range settings {
		if _, err := run("config", s[0], s[1]); err != nil {
			return err
		}
	}
	return apply(ctx, dir, o, list)
}

func apply(ctx context.Context, dir string, o Origin, list []Patch) error {
	box, done, err := scratch.Dir("ukl-series-")
	if err != nil {
		return err
	}
	defer done()
	args := []string{
		"-c", "gc.auto=0", "am", "-q", "--committer-date-is-author-date", "--no-gpg-sign", "--keep-non-patch",
		"--keep-cr", "--whitespace=nowarn",
	}
	for _, p := range list {
		file := filepath.Join(box, p.Name)
		if err := os.WriteFile(file, p.Text, 0o600); err != nil {
			return err
		}
		args = append(args, file)
	}
	_, err = git(ctx, dir, maker()[3:5], args...) // the dates are the patches'
	var failed *gitError
	if !errors.As(err, &failed) {
		return err
	}
	// git am counts from 1; without a session it has not come to a patch.
	next, rerr := os.ReadFile(filepath.Join(dir, ".git/rebase-apply/next"))
	n, nerr := strconv.Atoi(strings.TrimSpace(string(next)))
	if rerr != nil || nerr != nil || n < 1 || n > len(list) {
		return err
	}
	return &Stops{list[n-1].Name, o.Source, lines(failed.said)}
}

func lines(text string) []string {
	return slices.DeleteFunc(strings.Split(strings.TrimSpace(text), "\n"),
		func(l string) bool { return l == "" || strings.HasPrefix(l, "hint: ") })
}

// outside are git's words where there is no work tree at all. All its other reasons are worth telling.
var outside = regexp.MustCompile(`not a git repository \(or any|must be run in a work tree`)

// Open finds the work tree that a directory is in.
func Open(ctx context.Context, dir string) (*Tree, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	t := &Tree{}
	where := []string{"rev-parse", "--show-toplevel", "--absolute-git-dir"}
	out, err := git(ctx, dir, nil, where...)
	var failed *gitError
	if errors.As(err, &failed) && failed.foreign() != "" {
		t.trust = trusted(ctx)
		out, err = git(ctx, dir, t.trust, where...)
	}
	switch {
	case err == nil:
	case !errors.As(err, &failed):
		return nil, err
	case failed.foreign() != "":
		return nil, &Foreign{failed.foreign()}
	case outside.MatchString(failed.said):
		return nil, &NoTree{dir}
	default:
		return nil, err
	}
	t.Dir, t.Git, _ = strings.Cut(strings.TrimSpace(out), "\n")
	for key, to := range map[string]*string{
		keyBase: &t.Base, keySource: &t.Source, keySHA256: &t.SHA256,
		keyDir: &t.Origin.Dir, keySeries: &t.Series,
	} {
		out, err := git(ctx, dir, t.trust, "config", "--local", key)
		if err != nil && !errors.As(err, &failed) {
			return nil, err
		}
		*to = strings.TrimSpace(out)
	}
	if t.Base == "" {
		return nil, &NoTree{dir}
	}
	return t, nil
}

// git runs git in the work tree and returns what it prints, without the last newline.
func (t *Tree) git(ctx context.Context, args ...string) (string, error) {
	out, err := git(ctx, t.Dir, t.trust, args...)
	return strings.TrimRight(out, "\n"), err
}

// Commits are the names of the commits on top of the source, oldest first. They must be a series: in one line, each
// with a change, and nothing begun and not finished.
func (t *Tree) Commits(ctx context.Context) ([]string, error) {
	for name, what := range map[string]string{
		"rebase-merge": "rebase", "rebase-apply": "git am or rebase", "MERGE_HEAD": "merge",
		"CHERRY_PICK_HEAD": "cherry-pick", "REVERT_HEAD": "revert",
	} {
		if _, err := os.Stat(filepath.Join(t.Git, name)); err == nil {
			return nil, &Unfinished{
				What: fmt.Sprintf("%s: a %s is not finished", t.Dir, what),
				Help: "git status says how to finish or abort it",
			}
		}
	}
	var failed *gitError
	if _, err := t.git(ctx, "merge-base", "--is-ancestor", t.Base, "HEAD"); errors.As(err, &failed) {
		return nil, &Unfinished{What: fmt.Sprintf("%s: HEAD is not based on %.12s, the source without patches", t.Dir,
			t.Base), Help: "git checkout ukl"}
	} else if err != nil {
		return nil, err
	}
	merges, err := t.git(ctx, "rev-list", "--merges", t.Base+"..HEAD")
	if err != nil {
		return nil, err
	}
	if merges != "" {
		return nil, &Unfinished{
			What: fmt.Sprintf("%s: commit %.12s is a merge, which a series cannot have", t.Dir, merges),
			Help: "git rebase " + t.Base[:12],
		}
	}
	list, err := t.git(ctx, "log", "--reverse", "--format=%H %T", t.Base+"..HEAD")
	if err != nil {
		return nil, err
	}
	before, err := t.git(ctx, "rev-parse", t.Base+"^{tree}")
	if err != nil {
		return nil, err
	}
	var commits []string
	for line := range strings.Lines(list) {
		commit, tree, _ := strings.Cut(strings.TrimSpace(line), " ")
		if tree == before {
			return nil, &Unfinished{
				What: fmt.Sprintf("%s: commit %.12s changes nothing, so it is not a patch", t.Dir, commit),
				Help: "git rebase --interactive " + t.Base[:12],
			}
		}
		commits, before = append(commits, commit), tree
	}
	return commits, nil
}

// shown is how many files that are not committed an error names.
const shown = 10

// Clean demands that everything is committed, new files too.
func (t *Tree) Clean(ctx context.Context) error {
	status, err := t.git(ctx, "status", "--porcelain", "--untracked-files=normal")
	if err != nil || status == "" {
		return err
	}
	list := strings.Split(status, "\n")
	e := &Unfinished{
		What: fmt.Sprintf("%s: %d files are not committed", t.Dir, len(list)), Lines: list,
		Help: "git commit, git commit --fixup, or git stash",
	}
	if len(list) == 1 {
		e.What = fmt.Sprintf("%s: a file is not committed", t.Dir)
	}
	if len(list) > shown {
		e.Lines = append(list[:shown:shown], fmt.Sprintf("and %d more", len(list)-shown))
	}
	return e
}

// plain is how git formats a commit, whatever it is configured to do.
var plain = []string{
	"--zero-commit", "--no-signature", "--no-attach", "--no-thread",
	"--subject-prefix=PATCH", "--suffix=.patch", "--start-number=1",
	"--no-color", "--no-ext-diff", "--no-textconv", "--diff-algorithm=myers", "--unified=3", "--find-renames",
	"--src-prefix=a/", "--dst-prefix=b/", "--abbrev=7",
}

// Patches are the commits as files.
func (t *Tree) Patches(ctx context.Context) ([]Patch, error) {
	commits, err := t.Commits(ctx)
	if err != nil || len(commits) == 0 {
		return nil, err
	}
	box, done, err := scratch.Dir("ukl-series-")
	if err != nil {
		return nil, err
	}
	defer done()
	args := slices.Concat([]string{"format-patch", "--quiet", "--output-directory", box}, plain, []string{
		"--no-numbered", "--no-stat", "--no-cover-letter", t.Base + "..HEAD",
	})
	if _, err := t.git(ctx, args...); err != nil {
		return nil, err
	}
	list, err := Read(os.DirFS(box), box)
	if none := (*Empty)(nil); err != nil && !errors.As(err, &none) {
		return nil, err
	}
	if len(list) != len(commits) {
		return nil, fmt.Errorf("git made %d patches of %d commits", len(list), len(commits))
	}
	return list, nil
}

// Written notes that the work tree's series is what dir holds now.
func (t *Tree) Written(ctx context.Context, dir string, list []Patch) error {
	if _, err := t.git(ctx, "config", keyDir, dir); err != nil {
		return err
	}
	_, err := t.git(ctx, "config", keySeries, Hash(list))
	return err
}

// Subject is the first line of a commit's message.
func (t *Tree) Subject(ctx context.Context, commit string) (string, error) {
	return t.git(ctx, "log", "-1", "--format=%s", commit)
}

// Checkout makes the directory dir hold the files of a commit, beside the work tree. Only what differs from what was
// there before is written, so that make sees what has changed. index is a file of ours.
func (t *Tree) Checkout(ctx context.Context, commit, dir, index string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	env := append(slices.Clone(t.trust), "GIT_DIR="+t.Git, "GIT_WORK_TREE="+dir, "GIT_INDEX_FILE="+index)
	_, err := git(ctx, dir, env, "read-tree", "--reset", "-u", commit)
	return err
}

// Files are the names of the files that a commit changes and does not remove.
func (t *Tree) Files(ctx context.Context, commit string) ([]string, error) {
	out, err := t.git(ctx, "diff-tree", "-r", "--no-commit-id", "--name-only", "--diff-filter=d", "-z", commit)
	return strings.FieldsFunc(out, func(r rune) bool { return r == 0 }), err
}

// symbolRE finds a symbol that a patch to a Kconfig file adds.
var symbolRE = regexp.MustCompile(`(?m)^\+config ([A-Z0-9_]+)$`)

// AddedSymbols are the configuration symbols that the series adds up to a commit, in the order of their files.
func (t *Tree) AddedSymbols(ctx context.Context, commit string) ([]string, error) {
	out, err := t.git(ctx, "diff", "--no-color", "--no-ext-diff", "--no-textconv", t.Base, commit, "--",
		":(glob)**/Kconfig*")
	var names []string
	for _, m := range symbolRE.FindAllStringSubmatch(out, -1) {
		names = append(names, m[1])
	}
	return names, err
}
