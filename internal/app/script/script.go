// Package script knows which of the applications that come along runs a script.
package script

import (
	"bufio"
	"io"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"ukl/internal/host/regular"
)

// Runner runs scripts of a kind.
type Runner struct {
	App  string   // the bundled application that is the interpreter
	Args []string // what comes before the script on its command line
}

// shell makes BusyBox's tools commands before it runs a script, which has its own arguments.
var shell = Runner{"busybox", []string{"sh", "-c", `busybox --install -s && exec sh "$0" "$@"`}}

// byName has the ends of files that do not say themselves who runs them.
var byName = map[string]Runner{
	".py":  {App: "python"},
	".js":  {App: "node"},
	".cjs": {App: "node"},
	".mjs": {App: "node"},
	".rb":  {App: "ruby"},
	".php": {App: "php"},
	".pl":  {App: "perl"},
	".sh":  shell,
	".jar": {App: "java", Args: []string{"-jar"}},
}

// byInterpreter has the last names of the paths that scripts begin with.
var byInterpreter = []struct {
	name *regexp.Regexp
	Runner
}{
	{regexp.MustCompile(`^python(3(\.\d+)?)?$`), Runner{App: "python"}},
	{regexp.MustCompile(`^node(js)?$`), Runner{App: "node"}},
	{regexp.MustCompile(`^ruby[\d.]*$`), Runner{App: "ruby"}},
	{regexp.MustCompile(`^php[\d.]*$`), Runner{App: "php"}},
	{regexp.MustCompile(`^perl[\d.]*$`), Runner{App: "perl"}},
	{regexp.MustCompile(`^(sh|ash|dash)$`), shell},
}

// Of returns who runs a file: whom its first line names, else whom its name tells. It is false for a file that is no
// script, or one that no bundled application runs.
func Of(file string) (Runner, bool) {
	f, err := regular.Open(file)
	if err != nil {
		return Runner{}, false
	}
	defer f.Close()
	interpreter, arg := Interpreter(f)
	if interpreter == "" {
		r, ok := byName[filepath.Ext(file)]
		return r, ok
	}
	for _, i := range byInterpreter {
		if !i.name.MatchString(path.Base(interpreter)) {
			continue
		}
		r := i.Runner
		if arg != "" && r.App != shell.App {
			r.Args = []string{arg}
		}
		return r, true
	}
	return Runner{}, false
}

// longestLine is how much of a first line Linux reads: BINPRM_BUF_SIZE.
const longestLine = 256

// Interpreter returns the program that the first line of a script names, or that env finds for it, and its argument:
// Linux makes one of all that follows (execve(2)). The program is "" if there is no such line.
func Interpreter(r io.Reader) (program, arg string) {
	line, _ := bufio.NewReader(io.LimitReader(r, longestLine)).ReadString('\n')
	rest, ok := strings.CutPrefix(line, "#!")
	if !ok {
		return "", ""
	}
	program, arg = cut(rest)
	if path.Base(program) == "env" {
		program, arg = cut(strings.TrimPrefix(arg, "-S"))
	}
	return program, arg
}

// cut parts a line where its first word ends.
func cut(line string) (word, rest string) {
	line = strings.TrimSpace(line)
	if i := strings.IndexAny(line, " \t"); i >= 0 {
		return line[:i], strings.TrimSpace(line[i:])
	}
	return line, ""
}
