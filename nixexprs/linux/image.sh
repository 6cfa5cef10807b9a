# linux/image.sh: make bzImage of a linked vmlinux.
# env  link     the link stage      objects  the linux-objects stage; the kernel source is at /build/src
# out  bzImage vmlinux System.map config
# why  the kernel's own makefile does it, at the paths at which the objects were made, so that it finds them up to date
#      and compiles only what depends on addresses in vmlinux

cp -a "$objects/obj/." /build/obj
chmod -R u+w /build/obj
cp "$link/vmlinux" /build/obj/vmlinux

cd /build/obj
# shellcheck disable=SC1091
(
    unset link objects source
    . ./link.env
    unset MAKEFLAGS MFLAGS MAKELEVEL
    make -f /build/src/scripts/Makefile.build obj=arch/x86/boot arch/x86/boot/bzImage
)

mkdir "$out"
cp arch/x86/boot/bzImage "$out"
cp "$link/vmlinux" "$link/System.map" "$link/config" "$out"
