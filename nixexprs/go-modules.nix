# go-modules.nix: the Go modules of go.sum, laid out as a module proxy (<module>/@v/<version>.{mod,zip}).
# in   narHash, go      out  the proxy's files, for GOPROXY=file://
# why  ./ukl seeds them through the user's own go command; the hash decides. A missing seed fails with the command that
#      supplies it.
{ system, go, narHash }:
derivation {
  name = "go-modules";
  inherit system;
  builder = if go == null then "builtin:fetchurl" else "${go}/bin/go";
  args = [ "tool" "the Go modules are not in the store: run ./ukl pins fetch" ];
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = narHash;
}
