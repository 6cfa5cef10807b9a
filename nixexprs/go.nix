# go.nix: the Go toolchain, made of the archive that the Go project publishes.
# in   pin (pins.json's "go"), checkout (a program that copies files)
# out  the files of the module golang.org/toolchain
# why  Nix can do all of it alone, so a machine that ./ukl never ran on needs nothing else. What the store has already,
#      from ./ukl or from an earlier build, is neither fetched nor made: the hash of the result decides
{ system, pin, checkout }:
let
  archive = derivation {
    name = "go${pin.version}.linux-amd64.tar.gz";
    system = "builtin";
    builder = "builtin:fetchurl";
    url = "https://go.dev/dl/go${pin.version}.linux-amd64.tar.gz";
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = pin.archive;
  };
  unpacked = derivation {
    name = "go${pin.version}";
    system = "builtin";
    builder = "builtin:unpack-channel";
    src = archive;
    channelName = "go"; # the one directory in the archive
  };
in
import ./go-run.nix {
  inherit system checkout;
  go = "${unpacked}/go";
  # The launcher puts it into the store as fetchers of Nix would, which know no other name.
  name = "source";
  inherit (pin) narHash;
  args = [ "toolchain" "${unpacked}/go" ];
  environment.GOPROXY = "off";
}
