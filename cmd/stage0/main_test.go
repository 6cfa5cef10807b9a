package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"unpack"}, {"enter"}, {"enter", "-bind"}, {"tree", "/out"}, {"copy", "a", "b"}} {
		var stderr bytes.Buffer
		if code := run(args, &stderr); code != 64 || !strings.HasPrefix(stderr.String(), "usage:") {
			t.Errorf("%q: exit %d, %q", args, code, stderr.String())
		}
	}
}

func TestUnsandboxedNixBuildIsRefused(t *testing.T) {
	for top, refused := range map[string]bool{"/build": false, "/tmp/nix-build-x.drv-0": true, "": true} {
		env := map[string]string{"NIX_STORE": "/nix/store", "NIX_BUILD_TOP": top}
		if err := sandboxed(func(k string) string { return env[k] }); (err != nil) != refused {
			t.Errorf("NIX_BUILD_TOP=%q: %v", top, err)
		}
	}
	if err := sandboxed(func(string) string { return "" }); err != nil {
		t.Errorf("by hand: %v", err)
	}
}
