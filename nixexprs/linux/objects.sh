# linux/objects.sh: compile the kernel once, without an application.
# env  source   the patched source, at /build/src as well
#      configure config additions   linux/configure.sh and what it reads
#      gates    names of the kernel functions that an application may call, one a line
#      target   what make is to make: "" is bzImage, vmlinux all that comes out of here (linux/incremental.sh)
# out  config   the complete configuration
#      gates    "name address" of each of those functions
#      objects  bytes in memory and name of each object file, the largest first
#      obj      what link.sh and image.sh need: vmlinux.o (all objects in one), the linker script, tools, boot objects
#      link.env the exported variables of the kernel's Makefile
# why  fixed paths, so that the same source gives the same bits

cd /build/obj
# shellcheck disable=SC1090
. "$configure"

# V=0 and no -s: the names of the files compiled are the progress that ukl shows.
make -C /build/src O=/build/obj -j"$NIX_BUILD_CORES" "${target:-bzImage}"

# The variables that the kernel's Makefile exports to the makefiles below it, and the flags of its link.
make -s --eval='ring0-env: ; @export -p >/build/obj/link.env; echo "$(KBUILD_LDFLAGS) $(LDFLAGS_vmlinux)" >/build/obj/ldflags' ring0-env

mkdir -p "$out/obj"
cp .config "$out/config"

# One relocatable object instead of some thousand: all but the application's.
# shellcheck disable=SC2046 # names are words
ld -r -t -o "$out/obj/vmlinux.o" --whole-archive $(ar t vmlinux.a | grep -vx init/ring0_app.o) --no-whole-archive \
    --start-group lib/lib.a arch/x86/lib/lib.a --end-group >linked

# What ld has named, but for the archives that it looked into.
grep '\.o$' linked | sort -u | xargs size | awk '$1 ~ /^[0-9]+$/ && $4 > 0 { print $4, $6 }' | sort -k1,1nr -k2 >"$out/objects"

# What image.sh needs to make bzImage: the boot directory with its objects, generated headers, fixdep.
# The variables of this derivation are among the exported ones; none may get out.
sed -i '/\/nix\/store/d' link.env
cp --parents -a include arch/x86/include arch/x86/boot scripts/basic scripts/kallsyms scripts/sorttable \
    init/version-timestamp.o arch/x86/kernel/vmlinux.lds ldflags link.env "$out/obj"
rm -f "$out/obj/arch/x86/boot/bzImage" "$out"/obj/arch/x86/boot/compressed/vmlinux*

cp /build/src/init/ring0_app.S "$out/obj"

# What the output of scripts/kallsyms includes.
mkdir -p "$out/obj/kallsyms/asm"
echo '#define BITS_PER_LONG 64' >"$out/obj/kallsyms/asm/bitsperlong.h"

# What the app may call, from a link with an empty app, made as link.sh will make it with the real one. link.sh proves that
# the addresses are still true then.
# shellcheck disable=SC2046 # flags are words
ld $(cat ldflags) --script=arch/x86/kernel/vmlinux.lds -o vmlinux.empty \
    --whole-archive "$out/obj/vmlinux.o" init/ring0_app.o init/version-timestamp.o --no-whole-archive
nm vmlinux.empty >empty.map
while read -r name; do
    case $name in '#'* | '') continue ;; esac
    if ! awk -v name="$name" '$3 == name { print name, $1; found = 1 } END { exit !found }' empty.map; then
        echo "error: the kernel has no function $name, named in linux/gates" >&2
        exit 1
    fi
done <"$gates" >"$out/gates"
