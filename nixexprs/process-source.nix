# process-source.nix: the source of process mode's kernel: upstream's, but for patches that are not about ring 0.
# in   deb (linux-source), linux/source.sh, linux/patches      out  the source tree
# why  without the one that knows QEMU's emulation a kernel hangs in many a boot under TCG; without those of the
#      console's driver, which lets fsync() wait for the host, the last output is lost; without the one of fuse no
#      program can wait for a lock in a volume; without that of virtiofs, programs of a volume crash under TCG; without
#      those of tcp a client of a busy server waits for minutes, or loses data
{ run, script, deb }:
let
  names = ".*-(x86-Know-QEMU-s-software-emulation|virtio_console-.+|fuse-.+|virtiofs-.+|tcp-.+)\\.patch";
  wanted = name: builtins.match names name != null;
in
assert builtins.length (builtins.filter wanted (builtins.attrNames (builtins.readDir ./linux/patches))) == 10;
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
