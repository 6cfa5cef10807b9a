# deb.nix: one pinned Debian package.
# in   pin (an entry of pins.json), mirrors (archive -> address)      out  the .deb
# why  fixed-output with a flat hash: `ukl` puts the file into the store beforehand, from wherever the user has it, and
#      then this never runs. Where it does run, the mirror need not be trusted.
{ pin, mirrors }:
derivation {
  # internal/pin/pins computes the same name: the store allows no "~".
  name = builtins.replaceStrings [ "~" ] [ "-" ] (baseNameOf pin.path);
  system = "builtin";
  builder = "builtin:fetchurl";
  url = "${mirrors.${pin.archive or "main"}}/${pin.path}";
  outputHashMode = "flat";
  outputHashAlgo = "sha256";
  outputHash = pin.sha256;
}
