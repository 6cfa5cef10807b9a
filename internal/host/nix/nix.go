// Package nix runs the host's Nix. Every call carries the settings that our builds rely on, whatever nix.conf says, so
// a build is sandboxed or fails. It uses the old commands (nix-instantiate, nix-store), which need no experimental
// feature and whose exit codes say what went wrong. Cancelling a call interrupts Nix and lets it stop its builders;
// nothing is left running.
package nix

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"mvdan.cc/sh/v3/syntax"

	"ukl/internal/cli/exit"
	"ukl/internal/host/distribution"
	"ukl/internal/host/folders"
)

// MinVersion is the oldest Nix that the tests have run with.
var MinVersion = [2]int{2, 8}

// How long an interrupted Nix may take: to stop its builders, before they are killed; and to end then, before it is
// killed itself.
const (
	obedience = 3 * time.Second
	patience  = 15 * time.Second
)

// NotFound says that this machine has no Nix.
type NotFound struct{}

func (NotFound) Error() string { return "Nix is not installed" }

// Hint is the line that helps.
func (NotFound) Hint() string {
	return installHint(distribution.Here())
}

// installHint is how a distribution brings Nix; those that do not are served by Nix's own installer.
func installHint(f distribution.Family) string {
	const own = "https://nixos.org/download"
	switch f {
	case distribution.Debian:
		return f.Install("nix-bin")
	case distribution.Fedora:
		return f.Install("nix") + " (since Fedora 44; before: " + own + ")"
	case "":
		return fmt.Sprintf("install Nix %d.%d or later: %s", MinVersion[0], MinVersion[1], own)
	}
	return f.Install("nix")
}

// TooOld says that this machine's Nix cannot do what ukl needs.
type TooOld struct{ Have string }

func (e TooOld) Error() string {
	return fmt.Sprintf("Nix %s is too old: ukl needs %d.%d or later", e.Have, MinVersion[0], MinVersion[1])
}

// Client is one installed Nix. Make it with Find. It may be used by several goroutines.
type Client struct {
	Version string
	// Cores is the number of CPUs for one build; 0 is all.
	Cores int
	// Jobs is the number of builds at a time; 0 is 2: configure scripts then do not leave the other CPUs idle.
	Jobs int

	dir  string
	subs func() []string
}

// Find looks for Nix on PATH and where its installers put it.
func Find() (*Client, error) {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if home, err := folders.Home(); err == nil {
		dirs = append(dirs, filepath.Join(home, ".nix-profile/bin"), filepath.Join(home, ".local/state/nix/profile/bin"))
	}
	dirs = append(dirs, "/nix/var/nix/profiles/default/bin", "/run/current-system/sw/bin")
	for _, d := range dirs {
		if fi, err := os.Stat(filepath.Join(d, "nix-store")); err != nil || fi.IsDir() || fi.Mode()&0o111 == 0 {
			continue
		}
		c := &Client{dir: d}
		c.subs = sync.OnceValue(c.substituters)
		cmd := c.command(context.Background(), "nix-store", "--version")
		out, err := cmd.Output()
		var said *exec.ExitError
		if errors.As(err, &said) {
			return nil, failure(cmd, err, string(said.Stderr))
		}
		if err != nil {
			return nil, err
		}
		c.Version, err = parseVersion(string(out))
		if err != nil {
			return nil, err
		}
		return c, nil
	}
	return nil, NotFound{}
}

// lazy is a pattern that is compiled when it is first used: most runs of ukl start no Nix at all.
func lazy(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

var versionRE = lazy(`\b(\d+)\.(\d+)(\.\S+)?`)

func parseVersion(s string) (string, error) {
	m := versionRE().FindStringSubmatch(s)
	if m == nil {
		return "", fmt.Errorf("cannot find a version in %q", strings.TrimSpace(s))
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	if major < MinVersion[0] || major == MinVersion[0] && minor < MinVersion[1] {
		return "", TooOld{m[0]}
	}
	return m[0], nil
}

func (c *Client) tool(name string) string { return filepath.Join(c.dir, name) }

// settings are passed on every call. Nix ignores, with a warning, those that a daemon does not let its users set; the
// builders check for themselves that they are sandboxed.
func (c *Client) settings() []string {
	jobs := c.Jobs
	if jobs == 0 {
		jobs = 2
	}
	set := []string{
		"sandbox", "true",
		"sandbox-fallback", "false",
		"sandbox-paths", "",
		"extra-sandbox-paths", "",
		"pre-build-hook", "",
		"keep-going", "false",
		"cores", strconv.Itoa(c.Cores),
		"max-jobs", strconv.Itoa(jobs),
	}
	if _, err := user.LookupGroup("nixbld"); err != nil && os.Getuid() == 0 {
		set = append(set, "build-users-group", "")
	}
	var args []string
	for i := 0; i < len(set); i += 2 {
		args = append(args, "--option", set[i], set[i+1])
	}
	return args
}

// Settings are those of nix.conf and NIX_CONFIG that ukl does not set itself, or that a daemon does not let it set.
type Settings struct {
	Sandbox      string // "true", "false" or "relaxed"
	Builders     string // other machines; "@FILE" names a file that lists them
	Substituters []string
}

// Settings asks Nix what is configured, without what ukl adds.
func (c *Client) Settings() (Settings, error) {
	out, err := c.command(context.Background(), "nix", slices.Concat(newCommands, c.showConfig(), []string{"--json"})...).
		Output()
	if err != nil {
		return Settings{}, err
	}
	return parseSettings(out)
}

// newCommands lets `nix SUBCOMMAND` work.
var newCommands = []string{"--extra-experimental-features", "nix-command"}

// showConfig is the subcommand that prints the settings. It was renamed in Nix 2.20, and warns under its old name
// since.
func (c *Client) showConfig() []string {
	if c.before(2, 20) {
		return []string{"show-config"}
	}
	return []string{"config", "show"}
}

// ShowConfig is a command that prints the settings, for a person.
func (c *Client) ShowConfig() string {
	return strings.Join(slices.Concat([]string{"nix"}, newCommands, c.showConfig()), " ")
}

// before tells whether this Nix is older than a version.
func (c *Client) before(major, minor int) bool {
	var have [2]int
	_, _ = fmt.Sscanf(c.Version, "%d.%d", &have[0], &have[1]) // Find has read it before
	return slices.Compare(have[:], []int{major, minor}) < 0
}

func parseSettings(text []byte) (Settings, error) {
	var conf struct {
		Sandbox      struct{ Value any } // a boolean, or a word
		Builders     struct{ Value string }
		Substituters struct{ Value []string }
	}
	if err := json.Unmarshal(text, &conf); err != nil {
		return Settings{}, fmt.Errorf("the settings of Nix: %w", err)
	}
	return Settings{fmt.Sprint(conf.Sandbox.Value), conf.Builders.Value, conf.Substituters.Value}, nil
}

// substituters keeps the caches that the user configured. Nix's built-in one knows nothing of ours, and asking it costs
// time and a network: it is left out.
func (c *Client) substituters() []string {
	conf, err := c.Settings()
	if err != nil {
		return nil
	}
	return []string{"--option", "substituters", strings.Join(Own(conf.Substituters), " ")}
}

// Own are the caches without Nix's built-in one.
func Own(substituters []string) []string {
	return slices.DeleteFunc(slices.Clone(substituters),
		func(s string) bool { return strings.TrimSuffix(s, "/") == "https://cache.nixos.org" })
}

// Request is one attribute of the expressions in the directory Expr.
type Request struct {
	Expr string
	Attr string
	Args map[string]string // string arguments of the expressions' top-level function
	Root string            // symlink to make, which keeps the result from being collected; "" is none
}

// Instantiate evaluates the request and returns the path of its derivation.
func (c *Client) Instantiate(ctx context.Context, r Request) (string, error) {
	args := []string{filepath.Join(r.Expr, "default.nix"), "--attr", r.Attr}
	for _, k := range slices.Sorted(maps.Keys(r.Args)) {
		args = append(args, "--argstr", k, r.Args[k])
	}
	if r.Root != "" {
		args = append(args, "--add-root", r.Root+".drv")
	}
	out, err := c.run(ctx, "nix-instantiate", args...)
	if err != nil {
		return "", err
	}
	drv := strings.TrimSpace(string(out))
	if r.Root != "" {
		drv, err = os.Readlink(r.Root + ".drv")
		if err != nil {
			return "", err
		}
	}
	return drv, nil
}

// Plan returns the derivations that realising drv would build now, in no order.
func (c *Client) Plan(ctx context.Context, drv string) ([]string, error) {
	_, stderr, err := c.runBoth(ctx, "nix-store", "--realise", "--dry-run", drv)
	if err != nil {
		return nil, err
	}
	var drvs []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "/nix/store/") && strings.HasSuffix(line, ".drv") {
			drvs = append(drvs, line)
		}
	}
	return drvs, nil
}

// Outputs returns the output paths of a derivation, whether or not they exist.
func (c *Client) Outputs(ctx context.Context, drv string) ([]string, error) {
	out, err := c.run(ctx, "nix-store", "--query", "--outputs", drv)
	return strings.Fields(string(out)), err
}

// Invalid returns those of the store paths that the store does not hold.
func (c *Client) Invalid(ctx context.Context, paths []string) ([]string, error) {
	return c.invalid(ctx, paths)
}

func (c *Client) invalid(ctx context.Context, paths []string, store ...string) ([]string, error) {
	var bad []string
	for chunk := range slices.Chunk(paths, 500) {
		out, err := c.run(ctx, "nix-store", slices.Concat([]string{"--check-validity", "--print-invalid"}, store, chunk)...)
		if err != nil {
			return nil, err
		}
		bad = append(bad, strings.Fields(string(out))...)
	}
	return bad, nil
}

// Has tells whether the store holds a path.
func (c *Client) Has(ctx context.Context, path string) (bool, error) {
	bad, err := c.Invalid(ctx, []string{path})
	return len(bad) == 0, err
}

// AddFixed copies files into the store under their base names, as fixed-output derivations with their SHA-256 would,
// and returns the paths. recursive takes directories, and hashes the NAR.
func (c *Client) AddFixed(ctx context.Context, recursive bool, files []string) ([]string, error) {
	args := []string{"--add-fixed"}
	if recursive {
		args = append(args, "--recursive")
	}
	out, err := c.run(ctx, "nix-store", slices.Concat(args, []string{"sha256"}, files)...)
	return strings.Fields(string(out)), err
}

// AddPath copies a directory into the store under a name of its own.
func (c *Client) AddPath(ctx context.Context, name, dir string) (string, error) {
	out, err := c.run(ctx, "nix", slices.Concat(newCommands, []string{"store", "add-path", "--name", name, dir})...)
	return strings.TrimSpace(string(out)), err
}

// NarHash is the hash of a store path's content, as sha256-....
func (c *Client) NarHash(ctx context.Context, path string) (string, error) {
	out, err := c.run(ctx, "nix", slices.Concat(newCommands, []string{"hash", "path", Physical(path)})...)
	return strings.TrimSpace(string(out)), err
}

// CommandError is a failed call of Nix, apart from a failed build.
type CommandError struct {
	Command string // can be pasted into a shell
	Code    int
	Text    string // Nix's last error, without colours
}

func (e *CommandError) Error() string { return e.Text }

// ExitCode is the code of a command that this ends.
func (*CommandError) ExitCode() exit.Code { return exit.BuildFailed }

// Details are the beginning of the command: one that adds files to the store names a hundred.
func (e *CommandError) Details() []string {
	const longest = 200
	if len(e.Command) <= longest {
		return []string{e.Command}
	}
	cut := strings.LastIndexByte(e.Command[:longest], ' ')
	return []string{e.Command[:max(cut, 0)] + " ..."}
}

func (c *Client) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.tool(name), args...)
	// NIX_PATH could give <nixpkgs> a meaning; LANG translates messages that are parsed here.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NIX_PATH=") }),
		"LC_ALL=C")
	if r := remote(); r != os.Getenv("NIX_REMOTE") {
		cmd.Env = append(cmd.Env, "NIX_REMOTE="+r)
	}
	if dir := buildDir(os.Getenv("TMPDIR"), mayExecute); dir != "" {
		cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	}
	// A Ctrl-C on the terminal is for ukl, which interrupts Nix once. A killed Nix would orphan its builders.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	cmd.Cancel = func() error { return stop(cmd.Process) }
	cmd.WaitDelay = patience
	return cmd
}

// stop interrupts a Nix. Now and then one goes on nevertheless, to the end of all that it was asked to build (seen with
// 2.8 on a loaded machine); so its builders are killed if it does not end, and it has failed then.
func stop(nix *os.Process) error {
	if err := nix.Signal(os.Interrupt); err != nil {
		return err
	}
	for end := time.Now().Add(obedience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if nix.Signal(syscall.Signal(0)) != nil {
			return nil
		}
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", nix.Pid))
	for _, t := range threads {
		children, _ := os.ReadFile(t)
		for _, word := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(word); err == nil {
				_ = syscall.Kill(-pid, syscall.SIGKILL) // Nix starts each in a process group of its own
			}
		}
	}
	return nil
}

func (c *Client) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	out, _, err := c.runBoth(ctx, name, args...)
	return out, err
}

func (c *Client) runBoth(ctx context.Context, name string, args ...string) ([]byte, string, error) {
	cmd := c.command(ctx, name, slices.Concat(args, c.settings(), []string{"--option", "substituters", ""})...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, "", ctx.Err()
	}
	if err != nil {
		return nil, stderr.String(), failure(cmd, err, stderr.String())
	}
	return stdout.Bytes(), stderr.String(), nil
}

func failure(cmd *exec.Cmd, err error, stderr string) error {
	code := -1
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	}
	text := lastError(stderr, err.Error())
	if none := noStore(text); none != nil {
		return none
	}
	return &CommandError{quote(cmd.Args), code, ofDatabase(text)}
}

var databaseRE = lazy(`(?s)^.*SQLite.*?(database or disk is full|attempt to write a readonly database)(?: \(in '([^']*)'\))?.*$`)

// ofDatabase says what Nix says of its databases without the statement, which helps nobody.
func ofDatabase(text string) string {
	m := databaseRE().FindStringSubmatch(text)
	if m == nil {
		return text
	}
	place := "its database"
	if m[2] != "" {
		place = m[2]
	}
	return fmt.Sprintf("Nix cannot write %s: %s", place, m[1])
}

// lastError finds the innermost complaint in Nix's output.
func lastError(stderr, otherwise string) string {
	lines := strings.Split(strings.TrimSpace(stripColour(stderr)), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if _, text, ok := strings.Cut(lines[i], "error: "); ok {
			text = strings.TrimSpace(text)
			// A statement for its database that Nix quotes over many lines says less than what stands behind it.
			if end := strings.TrimSpace(lines[len(lines)-1]); strings.HasSuffix(text, " '") && strings.HasPrefix(end, "': ") {
				text = strings.TrimSuffix(text, " '") + end[1:]
			}
			return text
		}
	}
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return last
	}
	return otherwise
}

// colour is what compilers write for terminals: colours, and links of warnings to their descriptions.
var colour = lazy("\x1b\\[[0-9;]*[A-Za-z]|\x1b\\]8;[^\x07\x1b]*(\x07|\x1b\\\\)")

func stripColour(s string) string { return colour().ReplaceAllString(s, "") }

func quote(args []string) string {
	var words []string
	for _, a := range args {
		q, err := syntax.Quote(a, syntax.LangPOSIX)
		if err != nil {
			q = strconv.Quote(a)
		}
		words = append(words, q)
	}
	return strings.Join(words, " ")
}

// Dump writes a store path to a file as a NAR.
func (c *Client) Dump(ctx context.Context, path, file string) error {
	w, err := os.Create(file + ".part")
	if err != nil {
		return err
	}
	defer os.Remove(w.Name())
	err = c.pipe(ctx, nil, w, "--dump", Physical(path))
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), file)
}

// Restore unpacks a NAR into the new directory dir.
func (c *Client) Restore(ctx context.Context, nar io.Reader, dir string) error {
	return c.pipe(ctx, nar, nil, "--restore", dir)
}

func (c *Client) pipe(ctx context.Context, in io.Reader, out io.Writer, args ...string) error {
	cmd := c.command(ctx, "nix-store", args...)
	cmd.Stdin, cmd.Stdout = in, out
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return failure(cmd, err, stderr.String())
	}
	return nil
}

// VerifyPaths reads store paths and returns those whose content is not what the store's database says.
func (c *Client) VerifyPaths(ctx context.Context, paths []string) ([]string, error) {
	var bad []string
	for chunk := range slices.Chunk(paths, 500) {
		_, stderr, err := c.runBoth(ctx, "nix-store", slices.Concat([]string{"--verify-path"}, chunk)...)
		if err == nil {
			continue
		}
		found := false
		for _, p := range chunk {
			if strings.Contains(stderr, p) {
				bad, found = append(bad, p), true
			}
		}
		if !found {
			return nil, err
		}
	}
	return bad, nil
}
