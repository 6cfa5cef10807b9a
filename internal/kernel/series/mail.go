package series

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"ukl/internal/cli/exit"
	"ukl/internal/host/atomicfile"
)

// Letters are the cover letters of a series, one for each part that is sent as mail by itself.
type Letters struct {
	Dir   string // for errors
	Parts []Part // in the order of the series
}

// Part is a stretch of the series and its cover letter.
type Part struct {
	Name    string // of its letter, NAME.txt, and of the directory of its mails
	First   string // subject of its first patch; "" in the first part only
	Subject string // of the letter
	Text    string // below the subject, without a newline at the end
}

// PartsFile says, in the directory of the letters, where each part begins: by a subject, since numbers change.
const PartsFile = "parts.json"

// letterColumns is how long a line of a letter may be, as in a commit message of the kernel.
const letterColumns = 75

// BadLetter is something wrong in the directory of the letters.
type BadLetter struct{ Place, Text string }

func (e *BadLetter) Error() string { return e.Place + ": " + e.Text }

// ExitCode is the code of a command that this ends.
func (*BadLetter) ExitCode() exit.Code { return exit.Input }

var partName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// ReadLetters returns the letters of a directory; name is its name in errors.
func ReadLetters(dir fs.FS, name string) (*Letters, error) {
	read := func(file string) (text []byte, place string, err error) {
		place = path.Join(name, file)
		text, err = fs.ReadFile(dir, file)
		if failed := (*fs.PathError)(nil); errors.As(err, &failed) {
			err = &fs.PathError{Op: failed.Op, Path: place, Err: failed.Err}
		}
		return text, place, err
	}
	text, place, err := read(PartsFile)
	if err != nil {
		return nil, err
	}
	var list []struct {
		Part  string `json:"part"`
		First string `json:"first"`
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	err = d.Decode(&list)
	if _, more := d.Token(); err == nil && !errors.Is(more, io.EOF) {
		err = errors.New("something follows the list")
	}
	if err != nil {
		return nil, &BadLetter{place, err.Error()}
	}
	if len(list) == 0 {
		return nil, &BadLetter{place, "there is no part"}
	}
	l := &Letters{Dir: name}
	for i, p := range list {
		switch {
		case !partName.MatchString(p.Part):
			return nil, &BadLetter{place, fmt.Sprintf("part %q: want a name of a-z, 0-9 and -", p.Part)}
		case slices.ContainsFunc(l.Parts, func(q Part) bool { return q.Name == p.Part }):
			return nil, &BadLetter{place, fmt.Sprintf("there are two parts %q", p.Part)}
		case i == 0 && p.First != "":
			return nil, &BadLetter{place, fmt.Sprintf("part %q: the first part begins with the series, without \"first\"",
				p.Part)}
		case i > 0 && p.First == "":
			return nil, &BadLetter{place, fmt.Sprintf("part %q: \"first\" is missing, the subject of its first patch", p.Part)}
		}
		text, place, err := read(p.Part + ".txt")
		if err != nil {
			return nil, err
		}
		part := Part{Name: p.Part, First: p.First}
		if part.Subject, part.Text, err = letter(string(text), place); err != nil {
			return nil, err
		}
		l.Parts = append(l.Parts, part)
	}
	return l, nil
}

// letter splits a cover letter into its subject and what is below it.
func letter(all, place string) (subject, text string, err error) {
	for i, line := range strings.Split(all, "\n") {
		at := func(column int) string { return fmt.Sprintf("%s:%d:%d", place, i+1, column) }
		if c := strings.IndexFunc(line, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' }); c >= 0 {
			return "", "", &BadLetter{at(c + 1), "a letter is of printable ASCII characters"}
		}
		if len(line) > letterColumns {
			return "", "", &BadLetter{at(letterColumns + 1), fmt.Sprintf("a line has at most %d columns", letterColumns)}
		}
	}
	subject, text, _ = strings.Cut(all, "\n")
	below, parted := strings.CutPrefix(text, "\n")
	text = strings.Trim(below, "\n")
	if strings.TrimSpace(subject) == "" || !parted || text == "" {
		return "", "", &BadLetter{place + ":1:1", "want a line with the subject, an empty one, and the text"}
	}
	return subject, text, nil
}

// Mails is a part of the series as files that git send-email sends.
type Mails struct {
	Part     string   `json:"part"`
	Patches  int      `json:"patches"`
	Unsigned int      `json:"unsigned"` // patches without a Signed-off-by
	Files    []string `json:"files"`    // their places, the cover letter first
}

// Mail writes the commits as mails: each part below dir, in a directory of its name, with its cover letter. dir must be
// empty, or not exist. It gets all, or nothing.
func (t *Tree) Mail(ctx context.Context, dir string, l *Letters) ([]Mails, error) {
	ends, err := t.ends(ctx, l)
	if err != nil {
		return nil, err
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	box, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(box)
	made := filepath.Join(box, filepath.Base(dir))
	from := t.Base
	var list []Mails
	for i, p := range l.Parts {
		m, err := t.mailPart(ctx, filepath.Join(made, p.Name), from, ends[i], p)
		if err != nil {
			return nil, err
		}
		for n, file := range m.Files {
			m.Files[n] = filepath.Join(dir, p.Name, file)
		}
		list, from = append(list, m), ends[i]
	}
	return list, atomicfile.Directory(made, dir)
}

// unsquashed begins the subjects of commits that are to become part of another one.
var unsquashed = regexp.MustCompile(`^(fixup|squash|amend)! `)

// ends are the last commits of the parts.
func (t *Tree) ends(ctx context.Context, l *Letters) ([]string, error) {
	commits, err := t.Commits(ctx)
	if err != nil {
		return nil, err
	}
	if len(commits) == 0 {
		return nil, &Unfinished{
			What: fmt.Sprintf("%s: there is no commit on top of the source", t.Dir),
			Help: "git checkout ukl",
		}
	}
	out, err := t.git(ctx, "log", "--reverse", "--format=%s", t.Base+"..HEAD")
	if err != nil {
		return nil, err
	}
	subjects := strings.Split(out, "\n")
	if len(subjects) != len(commits) {
		return nil, fmt.Errorf("git has %d subjects of %d commits", len(subjects), len(commits))
	}
	if i := slices.IndexFunc(subjects, unsquashed.MatchString); i >= 0 {
		return nil, &Unfinished{
			What: fmt.Sprintf("%s: commit %.12s, %q, is not squashed", t.Dir, commits[i], subjects[i]),
			Help: "git rebase --interactive --autosquash " + t.Base[:12],
		}
	}
	var ends []string
	begin := 0
	for i, p := range l.Parts[1:] {
		at := slices.Index(subjects, p.First)
		misplaced := ""
		switch {
		case at < 0:
			misplaced = fmt.Sprintf("no commit has the subject %q, with which the part %s begins", p.First, p.Name)
		case slices.Contains(subjects[at+1:], p.First):
			misplaced = fmt.Sprintf("two commits have the subject %q, with which the part %s begins", p.First, p.Name)
		case at <= begin && (i > 0 || at == 0):
			misplaced = fmt.Sprintf("no commit is left for the part %s before %q", l.Parts[i].Name, p.First)
		}
		if misplaced != "" {
			return nil, &Unfinished{
				What: fmt.Sprintf("%s: %s", t.Dir, misplaced),
				Help: fmt.Sprintf("git log --oneline %s.. has the subjects; %s says where each part begins", t.Base[:12],
					path.Join(l.Dir, PartsFile)),
			}
		}
		ends, begin = append(ends, commits[at-1]), at
	}
	return append(ends, commits[len(commits)-1]), nil
}

// Git's words where the subject and the text of a cover letter belong, and the file that has them.
const (
	coverFile    = "0000-cover-letter.patch"
	coverSubject = "*** SUBJECT HERE ***"
	coverText    = "*** BLURB HERE ***"
)

// mailPart writes one part into a directory and returns the names of the files.
func (t *Tree) mailPart(ctx context.Context, dir, from, to string, p Part) (Mails, error) {
	m := Mails{Part: p.Name}
	// The letter is from whoever has committed the last patch, at that time: a user's name or a host's is not asked for.
	who, err := t.git(ctx, "log", "-1", "--date=raw", "--format=%cn%n%ce%n%cd", to)
	if err != nil {
		return m, err
	}
	committer := strings.SplitN(who, "\n", 3)
	if len(committer) != 3 {
		return m, fmt.Errorf("git knows no committer of %.12s", to)
	}
	env := append(slices.Clone(t.trust), "GIT_COMMITTER_NAME="+committer[0], "GIT_COMMITTER_EMAIL="+committer[1],
		"GIT_COMMITTER_DATE=@"+committer[2])
	args := slices.Concat([]string{"format-patch", "--quiet", "--output-directory", dir}, plain, []string{
		"--numbered", "--cover-letter", "--cover-from-description=none", "--no-base", "--no-notes", from + ".." + to,
	})
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	if _, err := git(ctx, t.Dir, env, args...); err != nil {
		return m, err
	}
	list, err := Read(os.DirFS(dir), dir)
	if err != nil {
		return m, err
	}
	for _, f := range list {
		m.Files = append(m.Files, f.Name)
		if f.Name == coverFile {
			continue
		}
		m.Patches++
		message, _, _ := bytes.Cut(f.Text, []byte("\n---\n"))
		if !bytes.Contains(message, []byte("\nSigned-off-by: ")) {
			m.Unsigned++
		}
	}
	if list[0].Name != coverFile {
		return m, fmt.Errorf("git made no %s", coverFile)
	}
	cover := string(list[0].Text)
	for place, text := range map[string]string{coverSubject: p.Subject, coverText: p.Text} {
		if strings.Count(cover, place) != 1 {
			return m, fmt.Errorf("git's cover letter does not have one %q", place)
		}
		cover = strings.Replace(cover, place, text, 1)
	}
	return m, atomicfile.File(filepath.Join(dir, coverFile), []byte(cover), 0o644)
}
