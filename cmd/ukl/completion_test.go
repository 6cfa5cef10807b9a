package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// complete is what ukl offers for the last of these words, without what the words mean.
func complete(t *testing.T, words ...string) []string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := slices.Concat([]string{"ukl"}, words, []string{completionFlag})
	if code := run(args, nil, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Fatalf("ukl %q: exit code %d, %s", words, code, &stderr)
	}
	var all []string
	for line := range strings.Lines(stdout.String()) {
		word, about, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if word == ":program" {
			word = about
		}
		all = append(all, word)
	}
	return all
}

func TestCompletion(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	t.Setenv("HOME", dir)
	t.Setenv("UKL_TEST_COMPLETION", "x")
	t.Chdir(dir)
	for name, text := range map[string]string{
		"state/ukl/.running/one/lock": "", "state/ukl/.running/two/lock": "",
		"state/ukl/.running/one/info.json": `{"name": "one", "app": "hello"}`,
		"state/ukl/.running/two/info.json": `{"name": "two", "app": "bench"}`,
		"bin/program":                      "\x7fELF",
		"bin/script":                       "#!/bin/sh\n",
		"app/ukl.toml":                     "name = \"app\"\n[[test]]\nname = \"greets\"\nexpect = \"x\"\n",
		"app/main.c":                       "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const none = "(nothing)"
	for line, want := range map[string]string{
		// commands, and those of commands
		"ru":              "run",
		"pins ver":        "verify",
		"kernel ch":       "check",
		"cache pu":        "push pull",
		"help pins ver":   "verify",
		"frob ":           none,
		"pins frob ":      none,
		"-q --json pi":    "pins",
		"--mirror run pi": "pins", // run is the mirror
		// options
		"run --acc":               "--accel",
		"run hello --acc":         "--accel",
		"pins add --j":            "--json",
		"pins fetch --ap":         "--apps",
		"kernel build --deb":      "--debug-kernel",
		"kernel build --ker":      none, // that is an option of run
		"run --ker":               none, // hidden
		"run --memory 3 --mem":    none, // once is enough
		"run -m 3 --mem":          none,
		"run --port 3 --por":      "--port", // repeatable
		"run --frob --acc":        "--accel",
		"run --cpus many --acc":   "--accel",
		"run ---x --acc":          "--accel",
		"--ver":                   "--verbose --version",
		"run hello -- --acc":      ":file",
		"logs -- --fol":           none,
		"run hello --json=x --ac": "--accel",
		// their values
		"run --accel ":                "auto kvm tcg",
		"run --accel k":               "kvm",
		"run --accel=k":               "kvm",
		"run --accel = k":             "kvm", // as bash divides it
		"run --accel =":               "auto kvm tcg",
		"run --accel = kvm mul":       "multithreaded :directory",
		"run --frob --cpus x -mode p": "process",
		"run --mode d":                "distro",
		"test --mode=d":               "distro",
		"bench --d":                   "--distro",
		"kernel check --only ":        "style build",
		"kernel export --to ":         ":directory",
		"kernel mail --letters ":      ":directory",
		"build -o ":                   ":directory",
		"build --format q":            "qcow2",
		"sbom --format ":              "spdx cyclonedx",
		"init --lang c":               "c c++",
		"inspect --svg x":             ":file",
		"--seeds ":                    ":file",
		"--mirror ":                   none,
		"run --cpus ":                 none,
		"run -e UKL_TEST_COMPL":       "UKL_TEST_COMPLETION",
		"run kvm --accel k":           "kvm",
		"test app/ --only ":           "greets",
		// words
		"run mul":                         "multithreaded :directory",
		"run -p 80 : 80 --volume a:b mul": "multithreaded :directory",
		"run hello ":                      none,
		"run hello --mode process mul":    none,
		"run bin/":                        ":directory bin/program bin/script",
		"run ~/bin/p":                     ":directory ~/bin/program",
		"test bin/":                       ":directory",
		"logs ":                           "one two",
		"logs one ":                       none,
		"stop one ":                       "two",
		"stop -- ":                        "one two",
		"ps ":                             none,
		"cache push x mul":                "multithreaded :directory",
		"cache push ":                     none,
		"pins export mul":                 ":file",
		"pins export x mul":               "multithreaded :directory",
		"pins add binutils-x86":           "binutils-x86-64-linux-gnu",
		"completion ":                     "bash zsh fish",
		"man ":                            ":directory",
		"run -- ":                         ":file",
	} {
		got := strings.Join(complete(t, strings.Split(line, " ")...), " ")
		if got == "" {
			got = none
		}
		if got != want {
			t.Errorf("ukl %s: %s; want %s", line, got, want)
		}
	}
	if got := complete(t); !slices.Contains(got, "run") { // not even an empty word
		t.Errorf("ukl: %q", got)
	}
}

// Each option whose value is a text says of what kind that is, or is one of these, whose values nobody can know.
func TestOptionKinds(t *testing.T) {
	free := map[string]bool{
		"--mirror": false, "--port": false, "--memory": false, "--qemu-arg": false, "--break": false,
		"--user": false, "--workdir": false,
		"build --append": false, "run --name": false, "bench --only": false,
		"profile --per": false,
	}
	var each func(name string, flags []cli.Flag, commands []*cli.Command)
	each = func(name string, flags []cli.Flag, commands []*cli.Command) {
		for _, f := range flags {
			switch f.(type) {
			case *cli.StringFlag, *cli.StringSliceFlag:
			default:
				continue
			}
			option := dashed(f.Names()[0])
			known := false
			for _, o := range []string{option, name + " " + option} {
				if _, ok := free[o]; ok {
					free[o], known = true, true
				}
			}
			if !known {
				t.Errorf("ukl %s %s: what can its value be? (ofKind)", name, option)
			}
		}
		for _, c := range commands {
			each(strings.TrimSpace(name+" "+c.Name), c.Flags, c.Subcommands)
		}
	}
	app := (&tool{}).app()
	each("", app.Flags, app.Commands)
	for o, used := range free {
		if !used {
			t.Errorf("%s: there is no such option without a kind", o)
		}
	}
}
