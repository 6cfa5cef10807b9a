// Command go makes the Go toolchain and the Go modules in builds that have nothing but Go: see go.nix and
// go-modules.nix.
//
//	go toolchain GOROOT OUT   the files of an unpacked archive as the module of the same release
//	go modules DIR OUT        what the go.sum of DIR names, as a module proxy
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"ukl/internal/pin/toolchain"
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

func run(args []string, stderr io.Writer) int {
	var err error
	switch {
	case len(args) == 3 && args[0] == "toolchain":
		err = toolchain.Lay(args[1], args[2])
	case len(args) == 3 && args[0] == "modules":
		// Nix must be able to remove what its builds leave.
		//lint:ignore SA1019 go run has built this program just now, and runs it where it was built
		own := toolchain.Command{Path: filepath.Join(runtime.GOROOT(), "bin/go"), Env: []string{"GOFLAGS=-modcacherw"}}
		err = own.Modules(context.Background(), args[1], args[2])
	default:
		err = fmt.Errorf("usage: go toolchain GOROOT OUT | go modules DIR OUT")
	}
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "ukl: error: %v\n", err)
	// Nix 2.8 gives a build no certificates; 2.26 does.
	if strings.Contains(err.Error(), "x509:") {
		fmt.Fprintln(stderr, "ukl: hint: run ./ukl once in the checkout: it fetches the Go modules outside of Nix's sandbox")
	}
	return 1
}
