package series

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"ukl/internal/cli/exit"
)

// folder is a directory of letters for the series two().
func folder(changes map[string]string) fs.FS {
	files := map[string]string{
		PartsFile: `[{"part": "one"}, {"part": "two", "first": "Kconfig: Add a symbol"}]`,
		"one.txt": "x86: Say more\n\nOne thing.\n\nAnother.\n",
		"two.txt": "Kconfig: Offer more\n\nWhy not.\n",
	}
	for name, text := range changes {
		files[name] = text
	}
	dir := fstest.MapFS{}
	for name, text := range files {
		if text != "" {
			dir[name] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return dir
}

func letters(t *testing.T, changes map[string]string) *Letters {
	t.Helper()
	l, err := ReadLetters(folder(changes), "letters")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestReadLetters(t *testing.T) {
	l := letters(t, nil)
	want := []Part{
		{"one", "", "x86: Say more", "One thing.\n\nAnother."},
		{"two", "Kconfig: Add a symbol", "Kconfig: Offer more", "Why not."},
	}
	if l.Dir != "letters" || !slices.Equal(l.Parts, want) {
		t.Errorf("%+v", l)
	}
	fits := strings.Repeat("x", letterColumns)
	letters(t, map[string]string{"one.txt": fits + "\n\n" + fits + "\n\tx\n"})
	for name, test := range map[string]struct{ file, text, want string }{
		"no JSON":       {PartsFile, "x", "letters/parts.json: invalid character"},
		"two values":    {PartsFile, `[{"part": "one"}] 1`, "letters/parts.json: something follows the list"},
		"unknown key":   {PartsFile, `[{"part": "one", "last": "x"}]`, `unknown field "last"`},
		"no part":       {PartsFile, "[]", "letters/parts.json: there is no part"},
		"a path":        {PartsFile, `[{"part": "../one"}]`, `part "../one": want a name of a-z, 0-9 and -`},
		"one twice":     {PartsFile, `[{"part": "one"}, {"part": "one", "first": "x"}]`, `two parts "one"`},
		"a first first": {PartsFile, `[{"part": "one", "first": "x"}]`, `without "first"`},
		"no first":      {PartsFile, `[{"part": "one"}, {"part": "two"}]`, `part "two": "first" is missing`},
		"a long line":   {"one.txt", "s\n\n" + fits + "x\n", "letters/one.txt:3:76: a line has at most 75 columns"},
		"no ASCII":      {"one.txt", "s\n\nnaïve\n", "letters/one.txt:3:3: a letter is of printable ASCII characters"},
		"a return":      {"one.txt", "s\r\n\r\nx\r\n", "letters/one.txt:1:2: a letter is of printable ASCII characters"},
		"no subject":    {"one.txt", "\n\nText.\n", "letters/one.txt:1:1: want a line with the subject"},
		"no empty line": {"one.txt", "s\nText.\n", "letters/one.txt:1:1: want a line with the subject"},
		"no text":       {"one.txt", "s\n\n\n", "letters/one.txt:1:1: want a line with the subject"},
	} {
		_, err := ReadLetters(folder(map[string]string{test.file: test.text}), "letters")
		if err == nil || !strings.Contains(err.Error(), test.want) || exit.Of(err).Code != exit.Input {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, file := range []string{PartsFile, "two.txt"} {
		if _, err := ReadLetters(folder(map[string]string{file: ""}), "letters"); !errors.Is(err, fs.ErrNotExist) ||
			!strings.Contains(err.Error(), "letters/"+file) {
			t.Errorf("without %s: %v", file, err)
		}
	}
}

// The mails have numbers within their part, the letter with what git knows, and apply to the source.
func TestMail(t *testing.T) {
	ctx := context.Background()
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	commit(t, tr, "commit", "-q", "--amend", "--no-edit", "--signoff")
	dir := filepath.Join(t.TempDir(), "to", "mail")
	list, err := tr.Mail(ctx, dir, letters(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mails{
		{"one", 1, 1, []string{dir + "/one/0000-cover-letter.patch", dir + "/one/" + two()[0].Name}},
		{"two", 1, 0, []string{dir + "/two/0000-cover-letter.patch", dir + "/two/0001-Kconfig-Add-a-symbol.patch"}},
	}
	if !slices.EqualFunc(list, want, func(a, b Mails) bool {
		return a.Part == b.Part && a.Patches == b.Patches && a.Unsigned == b.Unsigned && slices.Equal(a.Files, b.Files)
	}) {
		t.Errorf("%+v", list)
	}
	read := func(file string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	cover := read(list[0].Files[0])
	for _, part := range []string{
		"\nSubject: [PATCH 0/1] x86: Say more\n",
		"\n\nOne thing.\n\nAnother.\n\nJörg (1):\n  [x86] entry: Say two, ",
		"\nFrom: ukl <ukl@ukl.invalid>\nDate: Tue, 24 Nov 2026 12:00:00 +0100\n",
		"\n init/main.c | 2 +-\n 1 file changed, ",
	} {
		if !strings.Contains(cover, part) {
			t.Errorf("the letter has no %q:\n%s", part, cover)
		}
	}
	if strings.Contains(cover, "***") || strings.Contains(cover, "Kconfig") {
		t.Errorf("the letter has too much:\n%s", cover)
	}
	if second := read(list[1].Files[1]); !strings.Contains(second, "\nSubject: [PATCH 1/1] Kconfig: Add a symbol\n") ||
		!strings.Contains(second, "\nSigned-off-by: ukl <ukl@ukl.invalid>\n---\n Kconfig | 2 ++\n") {
		t.Errorf("the mail:\n%s", second)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("beside the mails: %v", left)
	}
	result, err := tr.git(ctx, "rev-parse", "HEAD^{tree}")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, tr, "checkout", "-q", "--detach", tr.Base)
	commit(t, tr, "am", "-q", "--keep-non-patch", list[0].Files[1], list[1].Files[1])
	if applied, err := tr.git(ctx, "rev-parse", "HEAD^{tree}"); err != nil || applied != result {
		t.Errorf("git am: %s, want %s, %v", applied, result, err)
	}
}

// What a user, or the work tree, has configured of git's mail has no part in it.
func TestMailIgnoresConfiguration(t *testing.T) {
	ctx := context.Background()
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	before, after := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if _, err := tr.Mail(ctx, before, letters(t, nil)); err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{
		"format.subjectPrefix": "RFC", "format.signature": "me", "format.useAutoBase": "true", "format.thread": "true",
		"format.coverFromDescription": "subject", "branch.ukl.description": "Another subject", "diff.noprefix": "true",
		"format.numbered": "false", "format.notes": "true",
	} {
		commit(t, tr, "config", key, value)
	}
	if _, err := tr.Mail(ctx, after, letters(t, nil)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"one/0000-cover-letter.patch", "one/" + two()[0].Name} {
		a, aerr := os.ReadFile(filepath.Join(before, name))
		b, berr := os.ReadFile(filepath.Join(after, name))
		if err := errors.Join(aerr, berr); err != nil || string(a) != string(b) {
			t.Errorf("%s: %v\n%s\n%s", name, err, a, b)
		}
	}
}

// What cannot be mails is refused, and nothing is written.
func TestMailRefuses(t *testing.T) {
	ctx := context.Background()
	for name, test := range map[string]struct {
		do      func(tr *Tree)
		changes map[string]string
		want    string
	}{
		"a subject that is gone": {
			do:   func(tr *Tree) { commit(t, tr, "commit", "-q", "--amend", "-m", "Kconfig: Add another") },
			want: `no commit has the subject "Kconfig: Add a symbol", with which the part two begins`,
		},
		"a subject twice": {
			do: func(tr *Tree) {
				write(t, tr.Dir, map[string]string{"a.c": ""})
				commit(t, tr, "add", "a.c")
				commit(t, tr, "commit", "-q", "-m", "Kconfig: Add a symbol")
			},
			want: `two commits have the subject "Kconfig: Add a symbol"`,
		},
		"nothing for the first": {
			do:   func(tr *Tree) { commit(t, tr, "rebase", "-q", "--onto", tr.Base, "HEAD~1") },
			want: `no commit is left for the part one before "Kconfig: Add a symbol"`,
		},
		"nothing between": {
			changes: map[string]string{PartsFile: `[{"part": "one"}, {"part": "two", "first": "Kconfig: Add a symbol"},
				{"part": "three", "first": "Kconfig: Add a symbol"}]`, "three.txt": "s\n\nx\n"},
			want: `no commit is left for the part two before "Kconfig: Add a symbol"`,
		},
		"a fixup": {
			do: func(tr *Tree) {
				write(t, tr.Dir, map[string]string{"a.c": ""})
				commit(t, tr, "add", "a.c")
				commit(t, tr, "commit", "-q", "--fixup", "HEAD")
			},
			want: `"fixup! Kconfig: Add a symbol", is not squashed`,
		},
		"no commit": {
			do:   func(tr *Tree) { commit(t, tr, "reset", "-q", "--hard", tr.Base) },
			want: "there is no commit on top of the source",
		},
		"a rebase": {
			do:   func(tr *Tree) { write(t, tr.Git, map[string]string{"rebase-merge/x": ""}) },
			want: "a rebase is not finished",
		},
	} {
		tr, err := tree(t, two())
		if err != nil {
			t.Fatal(err)
		}
		if test.do != nil {
			test.do(tr)
		}
		dir := filepath.Join(t.TempDir(), "mail")
		var unfinished *Unfinished
		if _, err := tr.Mail(ctx, dir, letters(t, test.changes)); !errors.As(err, &unfinished) ||
			!strings.Contains(err.Error(), test.want) || unfinished.Hint() == "" {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 0 {
			t.Errorf("%s: left is %v", name, left)
		}
	}
}

// An empty directory is filled; what is in one that is not stays.
func TestMailPlace(t *testing.T) {
	ctx := context.Background()
	tr, err := tree(t, two())
	if err != nil {
		t.Fatal(err)
	}
	empty, full := t.TempDir(), t.TempDir()
	if list, err := tr.Mail(ctx, empty, letters(t, nil)); err != nil || len(list) != 2 {
		t.Errorf("an empty directory: %+v, %v", list, err)
	}
	write(t, full, map[string]string{"file": "mine"})
	if _, err := tr.Mail(ctx, full, letters(t, nil)); err == nil {
		t.Error("a full directory was taken")
	}
	left, _ := os.ReadDir(full)
	if text, _ := os.ReadFile(filepath.Join(full, "file")); string(text) != "mine" || len(left) != 1 {
		t.Errorf("left is %v, %q", left, text)
	}
}
