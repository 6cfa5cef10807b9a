# archive.nix: third-party source of an app, as its author published it.
# in   archive ([source] of ukl.toml: url, sha256), mirrors (as deb.nix)      out  the file
# why  as deb.nix: fixed-output with a flat hash, so `ukl` puts the file into the store beforehand, from wherever
#      the user has it.
#      The name is of the hash alone, so the same file has one place; internal/pin/pins computes the same
{ archive, mirrors }:
let
  begins = text: builtins.substring 0 (builtins.stringLength text) archive.url == text;
in
derivation {
  name = "archive-${builtins.substring 0 12 archive.sha256}";
  system = "builtin";
  builder = "builtin:fetchurl";
  url =
    if begins "pool/updates/" then
      "${mirrors.security}/${archive.url}"
    else if begins "pool/" then
      "${mirrors.main}/${archive.url}"
    else
      archive.url;
  outputHashMode = "flat";
  outputHashAlgo = "sha256";
  outputHash = archive.sha256;
}
