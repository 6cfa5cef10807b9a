# go-cache.nix: Go's standard library and the modules of go.mod, compiled; and stage0, which is made of the same.
# in   go, checkout (go.mod, go.sum and stage0's packages), modules      out  cache, a GOCACHE; stage0/bin/stage0
# why  each is compiled once: on the first run, and when a Go file of ours changes
{ system, go, checkout, modules }:
let
  out = builtins.placeholder "out";
in
import ./go-build.nix {
  inherit system go modules;
  source = import ./go-source.nix {
    root = checkout;
    folders = "cmd|cmd/stage0|internal|internal/(pin|pin/deb|pin/tree|build|build/sandbox)";
    wanted =
      path:
      path == "go.mod"
      || path == "go.sum"
      || builtins.match "(cmd/stage0|internal/(pin/deb|pin/tree|build/sandbox))/.*" path != null;
    name = "go-cache-source";
  };
  bin = "${out}/stage0/bin";
  # What ./cmd/ukl imports. One that is missing here is compiled with the program.
  packages = [
    "./cmd/stage0"
    "archive/tar"
    "compress/gzip"
    "debug/elf"
    "embed"
    "encoding/json"
    "net/http"
    "os/exec"
    "os/signal"
    "os/user"
    "text/tabwriter"
    "text/template"
    "github.com/BurntSushi/toml"
    "github.com/mattn/go-isatty"
    "github.com/otiai10/copy"
    "github.com/urfave/cli/v2"
    "golang.org/x/sys/unix"
    "mvdan.cc/sh/v3/syntax"
  ];
  attributes = {
    name = "go-cache";
    GOCACHE = "${out}/cache";
  };
}
