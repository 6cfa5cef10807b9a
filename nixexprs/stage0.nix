# stage0.nix: the first builder, a static Go program (cmd/stage0).
# in   go, checkout, modules; without them the stage must be in the store already
# out  bin/stage0
# why  the hash of the result is pinned: only a change that changes the program's bytes can change a stage
{ system, go, checkout, modules, narHash }:
let
  fixed = {
    name = "stage0";
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = narHash;
  };
  source = import ./go-source.nix {
    root = checkout;
    folders = "cmd|cmd/stage0|internal|internal/(deb|enter|tree)";
    wanted = path: path == "go.mod" || path == "go.sum" || builtins.match "cmd/stage0/.*|internal/(deb|enter|tree)/.*" path != null;
    name = "stage0-source";
  };
in
if go == null || checkout == null then
  derivation (fixed // { system = "builtin"; builder = "builtin:fetchurl"; url = "file:///stage0-is-not-in-the-store--run-nix-build-.%23stage0"; })
else
  import ./go-build.nix { inherit system go modules source; package = "./cmd/stage0"; attributes = fixed; }
