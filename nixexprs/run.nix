# run.nix: how every later stage runs: a shell script inside a tree, at fixed paths.
# in   stage0, tree; then { name, script, ... }: the rest are the script's environment variables. `source`, a directory,
#      is seen at /build/src
# out  what the script puts at $out
# why  no store path may get into an output: then the same inputs give the same bytes in any store, and nothing keeps
#      sources alive
{ system, stage0, tree }:
{ name, script, ... }@environment:
derivation (
  removeAttrs environment [ "script" ]
  // {
    inherit system;
    builder = "${stage0}/bin/stage0";
    args = [ "enter" tree script ];
    allowedReferences = [ ];
  }
)
