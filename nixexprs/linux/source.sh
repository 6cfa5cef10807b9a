# linux/source.sh: unpack Debian's copy of the upstream kernel source and apply the series.
# env  deb      the linux-source package: an ar archive that holds a tar that holds a tar
#      patches  directory of the series, applied in the order of the file names
# out  the patched source tree, without code that cannot take part: other processors, and drivers of hardware that a
#      virtual machine does not have. Kconfig reads all of their Kconfig files.
# why  the store pays for every file, and so does everyone who builds this first

mkdir "$out"
ar p "$deb" data.tar.xz | xz -dc -T0 | tar -xO ./usr/src/linux-source-6.1.tar.xz |
    xz -dc -T0 |
    tar -x -C "$out" --strip-components=1 --no-same-owner \
        --exclude='linux-source-6.1/drivers/gpu/drm/*.[ch]' \
        --exclude='linux-source-6.1/drivers/net/ethernet/*.[ch]' \
        --exclude='linux-source-6.1/drivers/net/wireless/*.[ch]' \
        --exclude='linux-source-6.1/drivers/media/*.[ch]' \
        --exclude='linux-source-6.1/drivers/staging/*.[ch]' \
        --exclude='linux-source-6.1/arch/[a-tv-wyz]*/*.[chS]' --exclude='*.dts' --exclude='*.dtsi' \
        --exclude='linux-source-6.1/sound/*.[ch]' \
        --exclude='linux-source-6.1/tools/testing/[a-rt-z]*' \
        --exclude='linux-source-6.1/tools/testing/scatterlist' \
        --exclude='linux-source-6.1/tools/testing/selftests/[a-wyz]*' \
        --exclude='linux-source-6.1/tools/testing/selftests/x86/*.[chS]' \
        --exclude='linux-source-6.1/Documentation/devicetree/bindings'

for p in "$patches"/*.patch; do
    echo "PATCH $(basename "$p")"
    patch -s -p1 -F0 -d "$out" <"$p"
done
