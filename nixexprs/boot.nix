# boot.nix: the boot sector of the disks and CDs that `ukl build --format` writes.
# in   boot/boot.S      out  boot.bin, 512 bytes, with an empty table
# why  written here and assembled in the tree: a boot loader for every file system and console would be 100 times
#      as long
{ run, script }:
run {
  name = "boot";
  script = script ./boot/build.sh;
  sector = script ./boot/boot.S;
}
