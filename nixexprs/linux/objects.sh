# linux/objects.sh: compile the kernel once, without an application.
# env  source   the patched source, at /build/src as well
#      configure config additions   linux/configure.sh and what it reads
#      gates    names of the kernel functions that an application may call, one a line
#      target   vmlinux: let the kernel's makefiles link, and look for mistakes, as well (linux/incremental.sh)
# out  config   the complete configuration
#      gates    "name address" of each of those functions
#      objects  bytes in memory and name of each object file, the largest first
#      obj      what link.sh and image.sh need: vmlinux.o (all objects in one), the linker script, tools, boot objects
#      link.env the exported variables of the kernel's Makefile
# why  fixed paths, so that the same source gives the same bits

cd /build/obj
# shellcheck disable=SC1090
. "$configure"

# The kernel's makefiles start a shell for each of the eight steps of a rule, most of which are empty in this
# configuration, and look into each object for exported symbols that are static. Here an empty step costs nothing, and
# whoever changes the kernel looks.
set --
if [ -z "${target:-}" ]; then
    # shellcheck disable=SC2016 # make's variables
    set -- 'cmd=@$(if $(cmd_$(1)),set -e; $(echo-cmd) $($(quiet)redirect) $(delete-on-interrupt) $(cmd_$(1)),:)'
    set -- "$@" cmd_check_local_export=
fi

# V=0 and no -s: the names of the files compiled are the progress that ukl shows. vmlinux_o ends before the links.
make -C /build/src O=/build/obj -j"$NIX_BUILD_CORES" "$@" "${target:-vmlinux_o}"

# The variables that the kernel's Makefile exports to the makefiles below it, and the flags of its link.
make -s ring0-env --eval='ring0-env: ; @export -p >/build/obj/link.env; \
    echo "$(KBUILD_LDFLAGS) $(LDFLAGS_vmlinux)" >/build/obj/ldflags'

mkdir -p "$out/obj"
cp .config "$out/config"

# One relocatable object instead of some thousand: all but the application's.
# shellcheck disable=SC2046 # names are words
ld -r -t -o "$out/obj/vmlinux.o" --whole-archive $(ar t vmlinux.a | grep -vx init/ring0_app.o) --no-whole-archive \
    --start-group lib/lib.a arch/x86/lib/lib.a --end-group >linked

# What ld has named, but for the archives that it looked into.
grep '\.o$' linked | sort -u | xargs size |
    awk '$1 ~ /^[0-9]+$/ && $4 > 0 { print $4, $6 }' | sort -k1,1nr -k2 >"$out/objects"

# The variables of this derivation are among the exported ones; none may get out.
sed -i '/\/nix\/store/d' link.env

# below DIRECTORY TARGET...: the makefile of a directory by itself, as in image.sh.
below() (
    obj=$1
    shift
    unset configure gates
    # shellcheck disable=SC1091
    . ./link.env
    unset MAKEFLAGS MFLAGS MAKELEVEL
    make -f /build/src/scripts/Makefile.build -j"$NIX_BUILD_CORES" obj="$obj" "$@"
)

# A link with an empty app, made as link.sh will make it with the real one.
if [ -z "${target:-}" ]; then below init init/version-timestamp.o; fi
# shellcheck disable=SC2046 # flags are words
ld $(cat ldflags) --script=arch/x86/kernel/vmlinux.lds -o vmlinux.empty \
    --whole-archive "$out/obj/vmlinux.o" init/ring0_app.o init/version-timestamp.o --no-whole-archive

# What image.sh needs to make bzImage: the boot directory with its objects, generated headers, fixdep. To compile them
# make wants a kernel to compress; what depends on it is left out.
if [ -z "${target:-}" ]; then
    mv vmlinux.empty vmlinux
    # shellcheck disable=SC2016 # make's variables
    below arch/x86/boot arch/x86/boot/bzImage 'cmd_xzkern_with_size=head -c 4 $< >$@'
    mv vmlinux vmlinux.empty
    (
        cd arch/x86/boot
        rm -f bzImage header.o setup.elf setup.bin vmlinux.bin zoffset.h voffset.h
        cd compressed
        rm -f vmlinux vmlinux.bin* misc.o piggy.S piggy.o
    )
fi
cp --parents -a include arch/x86/include arch/x86/boot scripts/basic scripts/kallsyms scripts/sorttable \
    init/version-timestamp.o arch/x86/kernel/vmlinux.lds ldflags link.env "$out/obj"

cp /build/src/init/ring0_app.S "$out/obj"

# What the output of scripts/kallsyms includes.
mkdir -p "$out/obj/kallsyms/asm"
echo '#define BITS_PER_LONG 64' >"$out/obj/kallsyms/asm/bitsperlong.h"

# What the app may call. link.sh proves that the addresses are still true with the real app.
nm vmlinux.empty >empty.map
while read -r name; do
    case $name in '#'* | '') continue ;; esac
    if ! awk -v name="$name" '$3 == name { print name, $1; found = 1 } END { exit !found }' empty.map; then
        echo "error: the kernel has no function $name, named in linux/gates" >&2
        exit 1
    fi
done <"$gates" >"$out/gates"
