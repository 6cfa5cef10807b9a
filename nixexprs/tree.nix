# tree.nix: Debian packages, unpacked and merged, not installed.
# in   stage0, debs, name, narHash      out  usr, etc, merged-/usr links, empty mount points
# why  the hash of the result is pinned: a changed stage0 or mirror cannot change what is built on top
{ system, stage0, name, debs, narHash }:
derivation {
  name = "tree-${name}";
  inherit system debs;
  builder = "${stage0}/bin/stage0";
  args = [ "tree" ];
  outputHashMode = "recursive";
  outputHashAlgo = "sha256";
  outputHash = narHash;
}
