package worktree

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ukl/internal/app/apps"
	"ukl/internal/build/image"
	"ukl/internal/build/stagerun"
	"ukl/internal/cli/exit"
	"ukl/internal/host/scratch"
	"ukl/internal/kernel/series"
	"ukl/nixexprs"
)

// Exception is a remark of the kernel's checkpatch.pl that stands, with the reason.
type Exception struct {
	Patch string `json:"patch"` // its subject; "*" is all
	Type  string `json:"type"`  // as checkpatch calls it
	Why   string `json:"why"`
}

// exceptionsFile is in nixexprs.
const exceptionsFile = "linux/checkpatch.json"

// Exceptions are those of the series that comes along.
func Exceptions() ([]Exception, error) {
	text, err := fs.ReadFile(nixexprs.FS, exceptionsFile)
	if err != nil {
		return nil, err
	}
	var list []Exception
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", exceptionsFile, err)
	}
	return list, nil
}

// Checks are what is to be looked at.
type Checks struct {
	Style bool // checkpatch.pl --strict
	Build bool // each patch compiles and links on those before it, with and without the symbols that the series adds
	From  int  // number of the first patch, from 1
	To    int  // and of the last; 0 is the series' last
}

// Finding is what was found about one patch. It is good without problems.
type Finding struct {
	Number   int      `json:"number"`
	Patch    string   `json:"patch"`
	Problems []string `json:"problems"`
	Excused  []string `json:"excused"` // types of checkpatch's remarks that are exceptions
}

// Check looks at the patches of a work tree one by one, in their order, and tells of each as soon as it is done.
func (w *Workshop) Check(ctx context.Context, t *series.Tree, c Checks, tell func(Finding)) error {
	commits, err := t.Commits(ctx)
	if err != nil {
		return err
	}
	list, err := t.Patches(ctx)
	if err != nil {
		return err
	}
	if c.To == 0 {
		c.To = len(list)
	}
	if c.From < 1 || c.From > c.To || c.To > len(list) {
		return &NoPatch{c.From, c.To, len(list)}
	}
	exceptions, err := Exceptions()
	if err != nil {
		return err
	}
	recipe, err := w.Builder.Recipe(ctx, standIn(), attrObjects, attrSource)
	if err != nil {
		return err
	}
	remarks := map[string][]remark{}
	if c.Style {
		if remarks, err = w.style(ctx, recipe, t, list[c.From-1:c.To]); err != nil {
			return err
		}
	}
	for n := c.From; n <= c.To; n++ {
		f := Finding{Number: n, Patch: list[n-1].Name, Problems: []string{}, Excused: []string{}}
		if c.Style {
			subject, err := t.Subject(ctx, commits[n-1])
			if err != nil {
				return err
			}
			excuse(&f, subject, remarks[f.Patch], exceptions)
		}
		if c.Build {
			problems, err := w.prefix(ctx, recipe, t, commits[n-1])
			if err != nil {
				return err
			}
			f.Problems = append(f.Problems, problems...)
		}
		tell(f)
	}
	return nil
}

// NoPatch says that a series has fewer patches than were asked for.
type NoPatch struct{ From, To, Have int }

func (e *NoPatch) Error() string {
	return fmt.Sprintf("the series has patches 1 to %d, not %d to %d", e.Have, e.From, e.To)
}

// ExitCode is the code of a command that this ends.
func (*NoPatch) ExitCode() exit.Code { return exit.NoInput }

// remark is one line of checkpatch.
type remark struct{ kind, text string }

// remarkRE reads "/build/patches/0001-x.patch:31: CHECK:MACRO_ARG_REUSE: Macro argument reuse".
var remarkRE = regexp.MustCompile(`^` + insidePatches + `/([^:]+):(\d+): [A-Z]+:([A-Z0-9_]+): (.*)$`)

// style runs checkpatch over patches.
func (w *Workshop) style(ctx context.Context, recipe *image.Derivation, t *series.Tree,
	list []series.Patch,
) (map[string][]remark, error) {
	scripts, err := w.Builder.Expressions()
	if err != nil {
		return nil, err
	}
	box, done, err := scratch.Dir("ukl-check-")
	if err != nil {
		return nil, err
	}
	defer done()
	for _, p := range list {
		if err := os.WriteFile(filepath.Join(box, p.Name), p.Text, 0o644); err != nil {
			return nil, err
		}
	}
	found := map[string][]remark{}
	var stray []string
	err = w.run(ctx, stagerun.Step{
		Recipe: recipe,
		Set:    map[string]string{"source": t.Dir, "patches": insidePatches},
		Binds:  map[string]string{insidePatches: box, insideScripts: filepath.Join(scripts, "linux")},
		Script: insideScripts + "/checkpatch.sh",
		Out: func(line string) {
			if m := remarkRE.FindStringSubmatch(line); m != nil {
				found[m[1]] = append(found[m[1]], remark{m[3], fmt.Sprintf("line %s: %s: %s", m[2], m[3], m[4])})
			} else if line != "" {
				stray = append(stray, line)
			}
		},
	})
	if err == nil && len(stray) > 0 {
		err = &Broken{"checkpatch.pl", stray}
	}
	return found, err
}

// standIn is an application that adds nothing to the configuration.
func standIn() apps.App {
	a, err := apps.New(nixexprs.FS).Find("hello")
	if err != nil {
		panic(err) // it comes along
	}
	return a
}

// excuse sorts the remarks about a patch into problems and exceptions. An exception that nothing needs is a problem,
// too.
func excuse(f *Finding, subject string, remarks []remark, exceptions []Exception) {
	excused := map[string]bool{}
	for _, e := range exceptions {
		if e.Patch == subject || e.Patch == "*" {
			excused[e.Type] = false
		}
	}
	for _, r := range remarks {
		if _, ok := excused[r.kind]; ok {
			excused[r.kind] = true
			continue
		}
		f.Problems = append(f.Problems, "checkpatch: "+r.text)
	}
	for _, kind := range slices.Sorted(maps.Keys(excused)) {
		if excused[kind] {
			f.Excused = append(f.Excused, kind)
		} else {
			f.Problems = append(f.Problems, fmt.Sprintf("checkpatch no longer says %s, which nixexprs/%s excuses", kind,
				exceptionsFile))
		}
	}
}

// prefix compiles the series up to a commit, without and with what it adds. recipe is that of linux-objects.
func (w *Workshop) prefix(ctx context.Context, recipe *image.Derivation, t *series.Tree,
	commit string,
) ([]string, error) {
	dir := filepath.Join(t.Git, "ukl", "check")
	source := filepath.Join(dir, "source")
	if err := t.Checkout(ctx, commit, source, filepath.Join(dir, "index")); err != nil {
		return nil, err
	}
	symbols, err := t.AddedSymbols(ctx, commit)
	if err != nil {
		return nil, err
	}
	var problems []string
	objects := "" // of the last configuration, which has the most
	for _, value := range []string{"n", "y"} {
		var additions []string
		for _, s := range symbols {
			additions = append(additions, "CONFIG_"+s+"="+value)
		}
		if value == "y" && len(symbols) == 0 {
			continue
		}
		// What compilers say is not shown as it comes: it is the finding.
		var warnings, said []string
		o, err := w.compile(ctx, compilation{
			recipe: recipe, source: source, place: filepath.Join(dir, value), targets: []string{"vmlinux"},
			cache: filepath.Join(dir, "cache"),
			set:   map[string]string{"config": insideScripts + "/check.config", "additions": strings.Join(additions, "\n")},
			said: func(line string) {
				if said = append(said, line); len(said) > tail {
					said = said[1:]
				}
				if strings.Contains(strings.ToLower(line), "warning:") {
					warnings = append(warnings, line)
				}
			},
		})
		objects = o.Dir
		how := "with the series' symbols " + value + ": "
		if len(symbols) == 0 {
			how = ""
		}
		for _, line := range warnings {
			problems = append(problems, how+line)
		}
		if broken := (*Broken)(nil); errors.As(err, &broken) {
			problems = append(problems, how+"it does not build")
			problems = append(problems, said...)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	missing, err := w.compiled(ctx, t, commit, objects)
	return append(problems, missing...), err
}

// compiled lists the sources that a patch changes and that the configuration of the check does not compile: of those it
// says nothing.
func (w *Workshop) compiled(ctx context.Context, t *series.Tree, commit, objects string) ([]string, error) {
	files, err := t.Files(ctx, commit)
	if err != nil {
		return nil, err
	}
	var problems []string
	for _, f := range files {
		ext := filepath.Ext(f)
		if ext != ".c" && ext != ".S" || strings.HasPrefix(f, "Documentation/") || strings.HasPrefix(f, "tools/") {
			continue
		}
		base := strings.TrimSuffix(f, ext)
		results := []string{base + ".o", base + ".s"} // asm-offsets
		if filepath.Ext(base) == ".lds" {
			results = []string{base} // the linker's script
		}
		made := func(f string) bool { return exists(filepath.Join(objects, f)) }
		if !slices.ContainsFunc(results, made) {
			problems = append(problems, f+": nixexprs/linux/check.config does not compile it")
		}
	}
	return problems, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
