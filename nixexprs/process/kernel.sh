# process/kernel.sh: compile the kernel of process mode: the same configuration, without what the series adds for ring 0.
# env  source  at /build/src as well      config   linux/config
# out  vmlinux bzImage System.map config
# why  an option that does not take effect is an error, as in linux/objects.sh: a baseline that silently differs is worthless

grep -v RING0 "$config" >/build/differences
unset config source
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:01 UTC 1970' KBUILD_BUILD_USER=ukl KBUILD_BUILD_HOST=ukl KBUILD_BUILD_VERSION=1
make="make -s -C /build/src O=/build/obj -j$NIX_BUILD_CORES"
cd /build/obj

$make tinyconfig
cat /build/differences >>.config
$make olddefconfig
lost=
while read -r line; do
    case $line in
    CONFIG_*=n) grep -q "^${line%=n}=" .config && lost="$lost $line" ;;
    CONFIG_*) grep -qxF "$line" .config || lost="$lost $line" ;;
    esac
done </build/differences
if [ -n "$lost" ]; then
    echo "error: options that do not take effect:$lost" >&2
    exit 1
fi

make -C /build/src O=/build/obj -j"$NIX_BUILD_CORES" bzImage
mkdir "$out"
cp vmlinux System.map "$out"
cp arch/x86/boot/bzImage "$out"
cp .config "$out/config"
