# check-go.nix: the Go tests as a derivation, for `nix flake check`.
# in   go, modules, cache (go-cache), checkout, packages      out  the tests' output
# why  they then run without a network, and without any program of the host
{ run, script, go, modules, cache, checkout }:
run {
  name = "check-go";
  script = script ./check-go.sh;
  inherit go modules cache;
  source = checkout;
  packages = builtins.concatStringsSep "\n" [
    "./cmd/stage0"
    "./internal/..."
    "./nixexprs/..."
  ];
}
