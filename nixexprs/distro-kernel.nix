# distro-kernel.nix: the kernel of mode distro: Debian's own for virtual machines, as it is.
# in   deb (linux-image-...-cloud-amd64), distro/kernel.sh
# out  vmlinux, config; modules.cpio, the drivers of ukl's machine, in the order in which they can be loaded
# why  what its package needs in an installed Debian takes no part: process/init.c does for a guest what Debian's
#      initramfs does
{ run, script, deb }:
run {
  name = "distro-kernel";
  script = script ./distro/kernel.sh;
  inherit deb;
}
