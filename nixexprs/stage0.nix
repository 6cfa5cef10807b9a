# stage0.nix: the first builder, a static Go program (cmd/stage0).
# in   cache (go-cache, where it was compiled), go; without them the stage must be in the store already
# out  bin/stage0
# why  the hash of the result is pinned: only a change that changes the program's bytes can change a stage. It is its
#      own builder: any program that copies it right would do, and the hash says whether it did.
{ system, go, cache, narHash }:
derivation (
  {
    name = "stage0";
    outputHashMode = "recursive";
    outputHashAlgo = "sha256";
    outputHash = narHash;
  }
  // (
    if go == null then
      {
        system = "builtin";
        builder = "builtin:fetchurl";
        url = "file:///stage0-is-not-in-the-store--run-nix-build-.%23stage0";
      }
    else
      {
        inherit system;
        builder = "${cache}/stage0/bin/stage0";
        args = [ "copy" "${cache}/stage0" (builtins.placeholder "out") "${go}/bin/go" "version" ];
        GOTOOLCHAIN = "local";
      }
  )
)
