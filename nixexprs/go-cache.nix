# go-cache.nix: Go's standard library and the modules of go.mod, compiled.
# in   go, checkout (go.mod and go.sum alone), modules      out  a GOCACHE
# why  a changed Go file of ours then costs seconds, not a minute
{ system, go, checkout, modules }:
import ./go-build.nix {
  inherit system go modules;
  source = import ./go-source.nix {
    root = checkout;
    wanted = path: path == "go.mod" || path == "go.sum";
    folders = "";
    name = "go-cache-source";
  };
  # What ./cmd/ukl imports. One that is missing here is compiled with the program.
  packages = [
    "archive/tar"
    "compress/gzip"
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
    "github.com/urfave/cli/v2"
    "golang.org/x/sys/unix"
    "mvdan.cc/sh/v3/syntax"
  ];
  attributes = {
    name = "go-cache";
    GOCACHE = builtins.placeholder "out";
  };
}
