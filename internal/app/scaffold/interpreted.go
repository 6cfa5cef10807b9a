package scaffold

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"ukl/internal/app/apps"
)

// interpreted is how a program of a kind runs that Debian's interpreter runs as it is, from a copy of its directory.
type interpreted struct {
	app     string   // the bundled application with the interpreter
	sure    []string // files that only such a program has, also beside a Makefile
	usual   []string // its main file, in the order in which they are looked for; with the last patterns, the only one
	ports   string   // it listens on them, as the arguments say; "" is none
	args    string   // FILE stands for the main file in the guest
	modules modules
}

// modules are what the program wants besides, as a file of it says.
type modules struct {
	recipe        // of the names
	prefix string // of Debian's packages of them
	own    string // the directory where an installer of the language's own puts them instead
	get    string // the command that does so
	by     string // the file that names them
}

// place is where the guest has a copy of the directory.
const place = "/srv"

// interpreters come in the order in which they are looked for.
var interpreters = []interpreted{
	{
		app: "python", sure: []string{"manage.py"}, usual: []string{"manage.py"}, ports: "8000",
		args: `"FILE", "runserver", "--noreload", "0.0.0.0:8000"`, modules: python,
	},
	{
		app: "python", sure: []string{"requirements.txt", "pyproject.toml", "Pipfile"},
		usual: []string{"app.py", "main.py", "server.py", "run.py", "*.py"}, args: `"FILE"`, modules: python,
	},
	{
		app: "node", sure: []string{"package.json"},
		usual: []string{"index.js", "server.js", "app.js", "main.js", "*.js", "*.mjs"}, args: `"FILE"`,
		modules: modules{own: "node_modules", get: "npm install", by: "package.json"},
	},
	{
		app: "ruby", sure: []string{"Gemfile"}, usual: []string{"main.rb", "app.rb", "server.rb", "*.rb"}, args: `"FILE"`,
		modules: modules{
			recipe: recipe{"Gemfile", regexp.MustCompile(`(?m)^[ \t]*gem[ \t(]+["']([\w-]+)["']`), "", true},
			prefix: "ruby-", by: "Gemfile",
		},
	},
	{
		app: "php", sure: []string{"composer.json"}, usual: []string{"index.php", "public/index.php"}, ports: "8080",
		args:    `"-S", "0.0.0.0:8080", "-t", "DIRECTORY"`,
		modules: modules{own: "vendor", get: "composer install", by: "composer.json"},
	},
	{app: "php", usual: []string{"*.php"}, args: `"FILE"`},
	{app: "perl", sure: []string{"cpanfile"}, usual: []string{"main.pl", "app.pl", "*.pl"}, args: `"FILE"`},
	{app: "java", usual: []string{"*.jar", "target/*.jar", "build/libs/*.jar"}, args: `"-jar", "FILE"`},
}

var python = modules{
	recipe: recipe{"requirements.txt", regexp.MustCompile(`(?m)^[ \t]*([A-Za-z][\w.-]*)`), "", true},
	prefix: "python3-", by: "requirements.txt",
}

// website is a directory of files for a web server.
const website = "index.html"

// interpret returns the ukl.toml of a program that an interpreter runs, or of a web site. With sure it looks for what
// only such a program has. The text is "" for another directory.
func interpret(c apps.Catalogue, here fs.FS, name string, sure bool) (text string, err error) {
	for _, i := range interpreters {
		if sure && len(matches(here, i.sure)) == 0 {
			continue
		}
		if file := i.main(here); file != "" {
			return i.describe(c, here, name, file)
		}
	}
	if _, err := fs.Stat(here, website); err == nil && !sure {
		return site(c, name)
	}
	return "", nil
}

// main is the main file; "" is none. Of package.json it is what that says.
func (i interpreted) main(here fs.FS) string {
	if i.app == "node" {
		if file := nodeMain(here); file != "" {
			return file
		}
	}
	for _, p := range i.usual {
		names, _ := fs.Glob(here, p) // the patterns are right
		names = slices.DeleteFunc(names, func(n string) bool { return !plainPath(n) })
		if len(names) == 1 || len(names) > 1 && i.app == "java" {
			return names[0]
		}
	}
	return ""
}

// nodeMain is the file that package.json starts.
func nodeMain(here fs.FS) string {
	text, err := fs.ReadFile(here, "package.json")
	var p struct {
		Main    string
		Scripts struct{ Start string }
	}
	if err != nil || json.Unmarshal(text, &p) != nil {
		return ""
	}
	for _, file := range []string{strings.TrimPrefix(p.Scripts.Start, "node "), p.Main} {
		file = path.Clean(file)
		if fi, err := fs.Stat(here, file); err == nil && fi.Mode().IsRegular() && plainPath(file) {
			return file
		}
	}
	return ""
}

func (i interpreted) describe(c apps.Catalogue, here fs.FS, name, file string) (string, error) {
	a, err := c.Find(i.app)
	if err != nil {
		return "", err
	}
	packages := slices.Clone(a.Root.Packages)
	var b strings.Builder
	fmt.Fprintf(&b, "%sname = %q\n", head, name)
	args := i.args
	if i.app == "python" && i.ports == "" && flask(here, file) {
		args, i.ports = `"-m", "flask", "--app", "FILE", "run", "--host", "0.0.0.0"`, "5000"
	}
	inside := path.Join(place, file)
	args = strings.NewReplacer("FILE", inside, "DIRECTORY", path.Dir(inside)).Replace(args)
	fmt.Fprintf(&b, "args = [%s]\n", args)
	if i.ports != "" {
		fmt.Fprintf(&b, "ports = [%s]\n", i.ports)
	}
	if a.GivesMemory() {
		fmt.Fprintf(&b, "memory = \"%dM\"\n", a.Memory)
	}
	b.WriteString("\n[root]\n")
	wants := i.modules.of(here)
	if django := "python3-django"; file == "manage.py" && !slices.Contains(wants, django) {
		packages = append(packages, django)
	}
	if len(wants) > 0 {
		fmt.Fprintf(&b, "# guesses, from %s: the packages of Debian that have its modules\n", i.modules.by)
		packages = append(packages, wants...)
	}
	if i.modules.missing(here) {
		fmt.Fprintf(&b, "# The modules that %s names must be in the directory: %s\n", i.modules.by, i.modules.get)
	}
	fmt.Fprintf(&b, "packages = [%s]\nprogram = %q\n\n[files]\n%q = \".\"\n", list(packages), a.Root.Program, place)
	return b.String(), nil
}

// list is the inside of a list of TOML. The words need no escapes.
func list(words []string) string { return `"` + strings.Join(words, `", "`) + `"` }

// flask tells whether the main file is an application of Flask that does not start a server itself.
func flask(here fs.FS, file string) bool {
	text, err := fs.ReadFile(here, file)
	return err == nil && regexp.MustCompile(`\bFlask\(`).Match(text) && !regexp.MustCompile(`\.run\(`).Match(text)
}

// of are Debian's packages of the modules, as far as their names tell. Debian's names have no capital letters.
func (m modules) of(here fs.FS) []string {
	if m.names == nil {
		return nil
	}
	text, err := fs.ReadFile(here, m.file)
	if err != nil {
		return nil
	}
	var all []string
	for _, found := range m.names.FindAllStringSubmatch(string(text), -1) {
		name := strings.ToLower(strings.ReplaceAll(found[1], "_", "-"))
		if p := m.prefix + name; !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// missing tells whether the program names modules that are to be in the directory, and are not.
func (m modules) missing(here fs.FS) bool {
	if m.own == "" {
		return false
	}
	text, err := fs.ReadFile(here, m.by)
	var p struct {
		Dependencies map[string]any
		Require      map[string]any
	}
	if err != nil || json.Unmarshal(text, &p) != nil || len(p.Dependencies)+len(p.Require) == 0 {
		return false
	}
	_, err = fs.Stat(here, m.own)
	return err != nil
}

// site is the ukl.toml of BusyBox's web server for the directory.
func site(c apps.Catalogue, name string) (string, error) {
	a, err := c.Find("busybox")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%sname = %q\nargs = [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", %[3]q]\nports = [\"8080:80\"]\n\n"+
		"[root]\npackages = [%[4]s]\nprogram = %[5]q\n\n[files]\n%[3]q = \".\"\n",
		head, name, place, list(a.Root.Packages), a.Root.Program), nil
}
