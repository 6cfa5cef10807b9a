# image.nix: the bootable files.
# in   link, objects (linux-objects), source (linux-source: its makefiles), linux/image.sh
# out  bzImage, vmlinux, System.map, config
{ run, script, link, objects, source, manifest }:
run {
  name = "image-${manifest.name}";
  script = script ./linux/image.sh;
  inherit link objects source;
}
