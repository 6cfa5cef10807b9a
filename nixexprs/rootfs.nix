# rootfs.nix: the root file system of an app that names packages for one, as a read-only image, and the program in it
#      that runs in ring 0.
# in   debs, the packages; manifest (root: its program); squashfs, the tree of squashfs-tools; rootfs.sh
# out  root.squashfs, program, path, files, scripts: see rootfs.sh
{ run, script, manifest, squashfs, debs }:
run {
  name = "rootfs-${manifest.name}";
  script = script ./rootfs.sh;
  inherit debs squashfs;
  place = manifest.root.program;
}
