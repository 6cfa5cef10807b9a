# distro/kernel.sh: take Debian's kernel and the drivers of ukl's machine out of their package.
# env  deb  the package
# out  vmlinux  the kernel as its package has it, but no longer packed
#      config   its configuration
#      modules.cpio  an initramfs with the drivers as /ukl/modules/NAME.ko; and /ukl/modules/order, in the order in
#               which they can be loaded, a line for each: its path, and what is in /ukl/mounts if a volume needs it

mkdir -p /build/obj/package /build/obj/root/ukl/modules
cd /build/obj
ar p "$deb" data.tar.xz | xz -dc -T0 | tar -x -C package --no-same-owner

# A bzImage has the number of its 512-byte sectors of real-mode code at 0x1f1, and where behind them the packed kernel
# is at 0x248 (Documentation/x86/boot.rst). Its last four bytes are the size of what was packed.
number() { od -A n -t "$1" -j "$2" -N "$3" package/boot/vmlinuz-* | tr -d ' '; }
begin=$((($(number u1 497 1) + 1) * 512 + $(number u4 584 4)))
size=$(($(number u4 588 4) - 4))
tail -c +$((begin + 1)) package/boot/vmlinuz-* | head -c "$size" >packed
case $(od -A n -t x1 -N 4 packed | tr -d ' ') in
02214c18) lz4 -dc packed >vmlinux ;;
28b52ffd) zstd -dc packed >vmlinux ;;
fd377a58) xz -dc --single-stream packed >vmlinux ;;
1f8b*) gzip -dc packed >vmlinux ;;
*) echo "error: Debian's kernel is packed in a way that is not known here" >&2 && exit 1 ;;
esac

# Each driver comes behind those that it says it depends on.
load() {
    if [ -e "root/ukl/modules/$1.ko" ]; then return; fi
    file=$(find package/lib/modules -name "$(echo "$1" | tr _- '??').ko")
    if [ -z "$file" ]; then echo "error: Debian's kernel has no driver $1" >&2 && exit 1; fi
    cp "$file" "root/ukl/modules/$1.ko"
    objcopy -O binary --only-section=.modinfo "$file" info
    for needed in $(tr '\0' '\n' <info | sed -n 's/^depends=//p' | tr ',' ' '); do load "$needed"; done
    echo "/ukl/modules/$1.ko $volume" >>root/ukl/modules/order
}
volume=
for driver in virtio_pci virtio_console virtio_net; do load "$driver"; done
volume=/dev/vd
load virtio_blk
volume=virtiofs
load virtiofs
chmod -R u=rwX,go=rX root
find root -exec touch -h -d @1 {} +

mkdir "$out"
cp vmlinux "$out"
cp package/boot/config-* "$out/config"
(cd root && find ukl | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible) >"$out/modules.cpio"
