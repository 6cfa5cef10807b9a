package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"ukl/internal/app/scaffold"
	"ukl/internal/cli/exit"
	"ukl/internal/kernel/series"
	"ukl/nixexprs"
)

func (t *tool) kernelMailCommand(tree cli.Flag) *cli.Command {
	return &cli.Command{
		Name: "mail", Usage: "write the work tree's commits as mails to kernel lists, with cover letters",
		Description: `Each part of the series becomes DIR/PART/0000-cover-letter.patch, DIR/PART/0001-*.patch and so on.
Prints their names. parts.json, beside the cover letters, says where a part begins. All changes must be committed. Sends
nothing: git send-email does that.`,
		Flags: []cli.Flag{
			tree,
			&ofKind{directory, &cli.StringFlag{Name: "to", Usage: "write to `DIR`, which is made or is empty"}},
			&ofKind{directory, &cli.StringFlag{
				Name:  "letters",
				Usage: "take the cover letters of `DIR`; by default of cover-letters beside the series, or those inside ukl",
			}},
		},
		Action: t.kernelMail,
	}
}

// mailedSeries is what `ukl kernel mail --json` prints.
type mailedSeries struct {
	Dir     string         `json:"dir"`
	Letters string         `json:"letters"` // directory of the cover letters, "" if they came along with ukl
	Parts   []series.Mails `json:"parts"`
}

func (t *tool) kernelMail(c *cli.Context) error {
	if _, err := t.words(c, 0); err != nil {
		return err
	}
	dir := c.String("to")
	if dir == "" {
		return exit.Errorf(exit.Usage, "which directory shall have the mails?").WithHint("ukl kernel mail --to ../mail")
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if left, err := os.ReadDir(abs); err == nil && len(left) > 0 {
		return &scaffold.There{File: dir}
	}
	// Nothing is compiled, so the source need not be the pinned one: it is mainline when somebody sends the series.
	tree, err := series.Open(c.Context, c.String("tree"))
	if err != nil {
		return err
	}
	letters, from, err := lettersOf(c.String("letters"), tree)
	if err != nil {
		return err
	}
	if err := tree.Clean(c.Context); err != nil {
		return err
	}
	parts, err := tree.Mail(c.Context, abs, letters)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(t.stdout, mailedSeries{abs, from, parts})
	}
	return t.printMails(c, dir, tree.Base, parts)
}

// printMails prints the names of the files, and says what is to be done with them.
func (t *tool) printMails(c *cli.Context, dir, base string, parts []series.Mails) error {
	unsigned := 0
	for _, p := range parts {
		unsigned += p.Unsigned
		for _, file := range p.Files {
			if _, err := fmt.Fprintln(t.stdout, filepath.Join(dir, p.Part, filepath.Base(file))); err != nil {
				return err
			}
		}
	}
	if unsigned > 0 {
		t.note(c, "%d patches have no Signed-off-by. Whoever sends them adds it: git rebase --signoff %.12s, then this "+
			"command again", unsigned, base)
	}
	for _, p := range parts {
		t.note(c, "next: git send-email --dry-run %s/*.patch", quoted([]string{filepath.Join(dir, p.Part)}))
	}
	return nil
}

// lettersDir is where a checkout has the cover letters.
const lettersDir = "nixexprs/linux/cover-letters"

// lettersOf reads the cover letters of a directory; of "" those beside the series that the work tree was made from, or
// those that came along. It returns the directory as an absolute path, too; "" for the last.
func lettersOf(dir string, tree *series.Tree) (*series.Letters, string, error) {
	if dir == "" && tree.Origin.Dir != "" {
		beside := filepath.Join(filepath.Dir(tree.Origin.Dir), filepath.Base(lettersDir))
		if fi, err := os.Stat(beside); err == nil && fi.IsDir() {
			dir = beside
		}
	}
	if dir == "" {
		sub, err := fs.Sub(nixexprs.FS, strings.TrimPrefix(lettersDir, "nixexprs/"))
		if err != nil {
			return nil, "", err
		}
		l, err := series.ReadLetters(sub, lettersDir)
		return l, "", err
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, "", err
	}
	l, err := series.ReadLetters(os.DirFS(abs), dir)
	return l, abs, err
}
