# process-source.nix: the source of process mode's kernel: upstream's, but for one patch.
# in   deb (linux-source), linux/source.sh, linux/patches      out  the source tree
# why  the one that knows QEMU's emulation has nothing to do with ring 0; a kernel without it hangs in many a boot
#      under TCG
{ run, script, deb }:
let
  wanted = name: builtins.match ".*-Know-QEMU-s-software-emulation\\.patch" name != null;
in
assert builtins.length (builtins.filter wanted (builtins.attrNames (builtins.readDir ./linux/patches))) == 1;
run {
  name = "process-source";
  script = script ./linux/source.sh;
  inherit deb;
  patches = builtins.path {
    name = "process-patches";
    path = ./linux/patches;
    filter = path: type: wanted (baseNameOf path);
  };
}
