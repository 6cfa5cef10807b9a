package scaffold

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"ukl/internal/cli/exit"
)

// Unknown says that a directory has files of which init can make no application.
type Unknown struct {
	Dir  string
	Saw  []string // some of the files
	Kind string   // what they look like; "" is nothing that init knows
}

func (e *Unknown) Error() string {
	if e.Kind == "" {
		return fmt.Sprintf("%s has %s, which `ukl init` does not know", e.Dir, strings.Join(e.Saw, ", "))
	}
	return fmt.Sprintf("%s has %s: %s, which `ukl init` cannot make an application of", e.Dir,
		strings.Join(e.Saw, ", "), e.Kind)
}

// ExitCode is the code of a command that this ends.
func (*Unknown) ExitCode() exit.Code { return exit.Input }

// Hint is the line that helps.
func (e *Unknown) Hint() string {
	if e.Kind == "" {
		return "write a ukl.toml (docs/ukl-toml.md), or name another directory; --lang c writes a new program into this one"
	}
	if e.Kind == container {
		return "build the image (docker build -t x . && docker save -o x.tar x), then: ukl run docker-archive:x.tar"
	}
	return "if a package of Debian runs it, write a ukl.toml with [root]: docs/programs.md, Interpreters, has examples"
}

// container is the kind of what others build, and ukl runs.
const container = "a container's image"

// kinds are what ukl has no build for.
var kinds = []struct {
	name  string
	marks []string
}{
	{"Python", []string{"pyproject.toml", "setup.py", "requirements.txt", "Pipfile", "manage.py", "*.py"}},
	{"JavaScript", []string{"package.json", "deno.json", "*.js", "*.mjs", "*.ts"}},
	{"Java", []string{"pom.xml", "build.gradle", "build.gradle.kts", "*.jar", "*.java", "*.kt"}},
	{"Ruby", []string{"Gemfile", "config.ru", "*.rb"}},
	{"PHP", []string{"composer.json", "*.php"}},
	{"Perl", []string{"cpanfile", "Makefile.PL", "*.pl"}},
	{"Erlang or Elixir", []string{"mix.exs", "rebar.config", "*.erl"}},
	{".NET", []string{"*.csproj", "*.fsproj", "*.sln"}},
	{container, []string{"Dockerfile", "Containerfile", "compose.yaml", "docker-compose.yml"}},
}

// aboutOnly are files and directories that every new directory may have.
var aboutOnly = regexp.MustCompile(`(?i)^(\..*|(readme|licen[cs]e|copying|authors|changelog|contributing)(\..*)?|docs?|.*\.(md|txt|rst))$`)

// mostNamed is how many files a message names.
const mostNamed = 3

// foreign is an Unknown error if there is anything of which no application can be made.
func foreign(dir string, here fs.FS) error {
	for _, k := range kinds {
		if saw := named(here, k.marks); len(saw) > 0 {
			return &Unknown{dir, saw, k.name}
		}
	}
	entries, err := fs.ReadDir(here, ".")
	if err != nil {
		return nil // the directory is to be made
	}
	var saw []string
	for _, e := range entries {
		if !aboutOnly.MatchString(e.Name()) && len(saw) < mostNamed {
			saw = append(saw, e.Name())
		}
	}
	if len(saw) > 0 {
		return &Unknown{dir, saw, ""}
	}
	return nil
}

// named are the first that have one of the patterns.
func named(here fs.FS, patterns []string) []string {
	var found []string
	for _, p := range patterns {
		names, _ := fs.Glob(here, p) // the patterns are right
		for _, n := range names {
			if !slices.Contains(found, n) && len(found) < mostNamed {
				found = append(found, n)
			}
		}
	}
	return found
}
