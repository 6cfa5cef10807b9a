# process-source.nix: the source of process mode's kernel: upstream's, but for two patches.
# in   deb (linux-source), linux/source.sh, linux/patches      out  the source tree
# why  neither has to do with ring 0: without the one that knows QEMU's emulation a kernel hangs in many a boot under
#      TCG, and without fsync() of a console's port the last output is lost
{ run, script, deb }:
let
  wanted =
    name: builtins.match ".*-(Know-QEMU-s-software-emulation|Let-fsync-wait-for-the-host)\\.patch" name != null;
in
assert builtins.length (builtins.filter wanted (builtins.attrNames (builtins.readDir ./linux/patches))) == 2;
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
