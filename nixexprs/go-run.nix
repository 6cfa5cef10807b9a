# go-run.nix: the program nixexprs/go as a builder, run by the go command from its source.
# in   go, checkout, narHash; args for the program, which `out` is added to; environment
# out  what the program puts there
# why  Go is the first program that runs at all: there is no shell yet, and no cp
{ system, go, checkout, name, narHash, args, environment }:
derivation (
  {
    inherit name system;
    builder = "${go}/bin/go";
    args = [
      "run"
      "-C"
      (import ./go-source.nix {
        root = checkout;
        folders = "internal|internal/pin(/toolchain)?|nixexprs(/go)?";
        wanted = path: path == "go.mod" || builtins.match "(internal/pin/toolchain|nixexprs/go)/.*" path != null;
        name = "go-run-source";
      })
      "./nixexprs/go"
    ] ++ args ++ [ (builtins.placeholder "out") ];
    CGO_ENABLED = "0";
    GOCACHE = "/build/cache";
    GOENV = "off";
    GOFLAGS = "-buildvcs=false";
    GOTMPDIR = "/build"; # as in go-build.nix
    GOTOOLCHAIN = "local";
    HOME = "/build";
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = narHash;
  }
  // environment
)
