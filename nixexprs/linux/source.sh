# linux/source.sh: unpack Debian's copy of the upstream kernel source and apply the series.
# env  deb      the linux-source package: an ar archive that holds a tar that holds a tar
#      patches  directory of the series, applied in the order of the file names
# out  the patched source tree, without what cannot take part in a build for x86-64
# why  the store pays for every file; a kernel tree is 1.3 GB, what is kept here a third of that

mkdir "$out"
ar p "$deb" data.tar.xz | xz -dc -T0 | tar -xO ./usr/src/linux-source-6.1.tar.xz |
    xz -dc -T0 |
    tar -x -C "$out" --strip-components=1 --no-same-owner \
        --exclude='linux-source-6.1/drivers/gpu/drm/*/*' \
        --exclude='linux-source-6.1/arch/[a-tv-wyz]*/*/*' \
        --exclude='linux-source-6.1/sound/*/*' \
        --exclude='linux-source-6.1/tools/testing' \
        --exclude='linux-source-6.1/Documentation/devicetree/bindings'

for p in "$patches"/*.patch; do
    echo "PATCH $(basename "$p")"
    patch -s -p1 -F0 -d "$out" <"$p"
done
