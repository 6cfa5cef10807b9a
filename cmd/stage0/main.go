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

	"ukl/internal/enter"
	"ukl/internal/tree"
)

const usage = `usage:
  stage0 tree [OUT DEB...]
        unpacks Debian packages into the new directory OUT. In a Nix build, which gives no
        arguments, OUT is $out and the packages are the words of $debs.
  stage0 enter [-bind HOST:/build/DIR]... TREE [SCRIPT ARGS...]
        runs /bin/sh -eu SCRIPT ARGS... with TREE as the root directory, an empty /build/obj, and
        $source, if set, at /build/src. "-c COMMAND" in place of SCRIPT works; nothing in its
        place starts an interactive shell.
`

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	var code int
	err := errUsage
	if len(args) > 0 {
		switch args[0] {
		case "tree":
			err = runTree(args[1:])
		case "enter":
			code, err = runEnter(args[1:])
		case enter.Inside:
			err = enter.Child(args[1:])
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

func runEnter(args []string) (int, error) {
	o := enter.Options{Source: os.Getenv("source")}
	for len(args) >= 2 && args[0] == "-bind" {
		o.Binds = append(o.Binds, args[1])
		args = args[2:]
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return 0, errUsage
	}
	o.Tree, o.Args = args[0], args[1:]
	return enter.Run(o)
}
