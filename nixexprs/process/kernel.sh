# process/kernel.sh: compile the kernel of process mode: the same configuration, without what is for ring 0.
# env  source  at /build/src as well      configure config additions   linux/configure.sh and what it reads
# out  vmlinux bzImage System.map config

cd /build/obj
grep -v RING0 "$config" >/build/config
config=/build/config
# shellcheck disable=SC1090
. "$configure"

make -C /build/src O=/build/obj -j"$NIX_BUILD_CORES" bzImage
mkdir "$out"
cp vmlinux System.map "$out"
cp arch/x86/boot/bzImage "$out"
cp .config "$out/config"
