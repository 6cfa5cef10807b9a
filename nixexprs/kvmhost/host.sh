# kvmhost/host.sh: the host's kernel and its root file system.
# env  debs   packages of the kernel and of busybox       init  the host's first process
#      qemu   the tree of the pinned QEMU, which the host has at /qemu
# out  vmlinuz; host.cpio, in the form newc, not compressed: another archive may follow

mkdir -p /build/obj/packages /build/obj/root
cd /build/obj
for deb in $debs; do
    ar p "$deb" data.tar.xz | xz -dc -T0 | tar -x -C packages --no-same-owner
done
mkdir -p "$out"
cp packages/boot/vmlinuz-* "$out/vmlinuz"

cd root
mkdir -p bin dev etc lib/modules proc root sys tmp var/tmp
cp ../packages/bin/busybox bin/busybox
for applet in $(bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "bin/$applet"
done
for module in irqbypass kvm kvm-amd; do
    cp "$(find ../packages -name "$module.ko")" lib/modules/
done
cp -R "$qemu" qemu
chmod -R u+w qemu
# The other half of the tree's weight is of no use to a program.
rm -rf qemu/usr/share/doc qemu/usr/share/man qemu/usr/share/locale
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
echo '127.0.0.1 localhost' >etc/hosts
cp "$init" init
chmod 755 init

find . -exec touch -h -d @1 {} +
find . | LC_ALL=C sort | cpio -o -H newc -R 0:0 --reproducible --quiet >"$out/host.cpio"
