# packages.nix: the build tools and an app's own Debian packages, as one tree.
# in   debs (those of the tools, then the app's), name      out  as tree.nix
# why  not of a pinned hash: the pins of its packages decide, and only the app's stages stand on it
{ system, stage0, name, debs }:
derivation {
  name = "packages-${name}";
  inherit system debs;
  builder = "${stage0}/bin/stage0";
  args = [ "tree" ];
}
