// Command stage0 is the first builder: a static program that needs no shell, no libc and no other file. Nix runs it to
// make trees of Debian binaries and to run build scripts inside them; see docs of packages tree and enter.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"ukl/internal/build/sandbox"
	"ukl/internal/pin/tree"
)

const usage = `usage:
  stage0 tree [OUT DEB...]
        unpacks Debian packages into the new directory OUT. In a Nix build, which gives no
        arguments, OUT is $out and the packages are the words of $debs.
  stage0 enter [-bind HOST:/build/DIR]... TREE [SCRIPT ARGS...]
        runs /bin/sh -eu SCRIPT ARGS... with TREE as the root directory, an empty /build/obj, and
        $source, if set, at /build/src. "-c COMMAND" in place of SCRIPT works; nothing in its
        place starts an interactive shell.
  stage0 copy FROM TO COMMAND ARGS...
        copies a directory, writable, and becomes COMMAND.
In a Nix build it does nothing unless it is sandboxed.
`

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	var code int
	err := errUsage
	if e := sandboxed(os.Getenv); e != nil {
		err = e
	} else if len(args) > 0 {
		switch args[0] {
		case "tree":
			err = runTree(args[1:])
		case "enter":
			code, err = runEnter(args[1:])
		case "copy":
			err = runCopy(args[1:])
		case sandbox.Inside:
			err = sandbox.Child(args[1:])
		}
	}
	if errors.Is(err, errUsage) {
		fmt.Fprint(stderr, usage)
		return 64
	}
	if err != nil {
		fmt.Fprintf(stderr, "stage0: error: %v\n", err)
		return 1
	}
	return code
}

var errUsage = errors.New("usage")

// sandboxed refuses a Nix build outside a sandbox: Nix can be told, or tell itself, to do without. Only a sandbox has
// its build directory at /build.
func sandboxed(getenv func(string) string) error {
	if top := getenv("NIX_BUILD_TOP"); getenv("NIX_STORE") != "" && top != "/build" {
		return fmt.Errorf("this build is not sandboxed (its directory is %s, not /build): set sandbox = true in nix.conf",
			top)
	}
	return nil
}

func runTree(args []string) error {
	syscall.Umask(0o022)
	if len(args) == 0 {
		out, debs := os.Getenv("out"), strings.Fields(os.Getenv("debs"))
		if out == "" || len(debs) == 0 {
			return errUsage
		}
		return tree.Build(out, debs)
	}
	if len(args) < 2 {
		return errUsage
	}
	return tree.Build(args[0], args[1:])
}

func runCopy(args []string) error {
	if len(args) < 3 {
		return errUsage
	}
	syscall.Umask(0o022)
	if err := os.CopyFS(args[1], os.DirFS(args[0])); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", args[2], syscall.Exec(args[2], args[2:], os.Environ()))
}

func runEnter(args []string) (int, error) {
	o := sandbox.Options{Source: os.Getenv("source")}
	for len(args) >= 2 && args[0] == "-bind" {
		o.Binds = append(o.Binds, args[1])
		args = args[2:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return 0, errUsage
	}
	o.Tree, o.Args = args[0], args[1:]
	return sandbox.Run(o)
}
