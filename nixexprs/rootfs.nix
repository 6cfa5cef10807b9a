# rootfs.nix: the root file system of an app that names packages or a container image for one, as a read-only image, and
#      the program in it that runs in ring 0.
# in   debs, the packages; manifest (root: its program, tar, path); squashfs, the tree of squashfs-tools; rootfs.sh
# out  root.squashfs, program, path, passwd, group, files, links, scripts: see rootfs.sh
{ run, script, manifest, squashfs, debs }:
run {
  name = "rootfs-${manifest.name}";
  script = script ./rootfs.sh;
  inherit debs squashfs;
  place = manifest.root.program;
  inherit (manifest.root) tar path;
}
