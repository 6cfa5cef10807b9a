# linux/link.sh: an app's objects, libc and the kernel's objects become one program.
# env  objects  the linux-objects stage
#      glibc    lib/*.a and the start files
#      app      objects/*.o
#      calls    gate or bypass: which of the kernel's two entries libc calls
#      ldflags  words for the linker, one a line     libs  names of further libraries, one a line
#      linked   linked.awk
# out  app        the app, a static ELF file; its symbols stay, for backtraces
#      vmlinux    the kernel with the app inside, which boots by itself (PVH)
#      System.map config
#      objects    how many bytes of the app in memory each object file takes; none for a finished program
#      linked     the paths of these files, as linked.awk has them; none where nobody knows them
#      kernel-objects   the same of the kernel
# why  two links, since the app calls the kernel and the kernel holds the app: the addresses of the kernel's functions
#      do not depend on the app, which comes behind them. The last step proves that for every address that was used.

lib=/usr/lib/x86_64-linux-gnu
gcc=/usr/lib/gcc/x86_64-linux-gnu/12
cd /build/obj
# shellcheck disable=SC2046,SC2086 # one word a line
set -- $(printf '%s\n' "$ldflags")
for l in $libs; do set -- "$@" "-l$l"; done

# The gates are absolute symbols. A CALL reaches them from the app's low addresses by a 32-bit displacement that wraps
# around.
awk '{ print "PROVIDE(" $1 " = 0x" $2 ");" }' "$objects/gates" >gates.ld
echo "__ukl_syscall = ring0_$calls;" >>gates.ld

g++ -static -no-pie -nostartfiles -nodefaultlibs -o app \
    -Wl,--build-id=none -Wl,-z,noexecstack -Wl,-Map=app.lst -L"$glibc/lib" -L"$lib" \
    "$glibc/lib/crt1.o" "$glibc/lib/crti.o" "$gcc/crtbeginT.o" \
    "$app"/objects/*.o "$@" \
    -Wl,--start-group -lstdc++ -lgcc -lgcc_eh -lc -lm -lpthread -Wl,--end-group \
    "$gcc/crtend.o" "$glibc/lib/crtn.o" gates.ld

# Into the image goes the app without its debugging information.
objcopy --strip-debug app app.image
gcc -c -D__ASSEMBLY__ -DRING0_APP='"app.image"' -o ring0_app.o "$objects/obj/ring0_app.S"

# link OUTPUT [KALLSYMS.o]: the kernel's own link (scripts/link-vmlinux.sh), with all objects but the app's in vmlinux.o
link() {
    o=$1
    shift
    # shellcheck disable=SC2046 # flags are words
    ld $(cat "$objects/obj/ldflags") --script="$objects/obj/arch/x86/kernel/vmlinux.lds" -o "$o" \
        --whole-archive "$objects/obj/vmlinux.o" ring0_app.o "$objects/obj/init/version-timestamp.o" \
        --no-whole-archive "$@"
}

# symbols VMLINUX: what scripts/mksysmap keeps
symbols() {
    nm -n "$1" |
        grep -v -e ' [aNUw] ' -e ' \$' -e ' \.L' -e ' __crc_' -e ' __kstrtab_' -e ' __kstrtabns_' -e ' L0$'
}

# The table of symbols is in the image and moves what is behind it: link, make it, link again until its size is settled.
size=
set --
for pass in 1 2 3; do
    link "kallsyms$pass" "$@"
    symbols "kallsyms$pass" >"kallsyms$pass.map"
    "$objects/obj/scripts/kallsyms" --absolute-percpu --base-relative "kallsyms$pass.map" >kallsyms.S
    gcc -c -I"$objects/obj/kallsyms" -o "kallsyms$pass.o" kallsyms.S
    set -- "kallsyms$pass.o"
    new=$(stat -c %s "kallsyms$pass.o")
    if [ "$new" = "$size" ]; then break; fi
    size=$new
done
link vmlinux "$@"
symbols vmlinux >System.map
cmp System.map "kallsyms$pass.map"
"$objects/obj/scripts/sorttable" vmlinux

# Every gate must be where the app believes it to be.
while read -r name address; do
    if ! grep -q "^$address . $name\$" System.map; then
        echo "error: $name is not at $address in the linked kernel" >&2
        exit 1
    fi
done <"$objects/gates"

# sizes: of a linker's map, bytes and name of each object, the largest first. A line has a section's address (0 if it is
# not in memory), its size, both in hexadecimal, and its file; the file's directory differs between stores.
sizes() {
    awk '
    function number(hex, i, n) {
        for (i = 3; i <= length(hex); i++) n = 16 * n + index("0123456789abcdef", substr(hex, i, 1)) - 1
        return n
    }
    /^Linker script and memory map/ { begun = 1 }
    begun && /^ / && match($0, / 0x[0-9a-f]+ +0x[0-9a-f]+ [^ ]/) {
        split(substr($0, RSTART, RLENGTH), field)
        file = substr($0, RSTART + RLENGTH - 1)
        sub(/.*\//, "", file)
        if (number(field[1]) > 0) sum[file] += number(field[2])
    }
    END { for (file in sum) if (sum[file] > 0) print sum[file], file }' | sort -k1,1nr -k2
}

mkdir "$out"
cp app vmlinux System.map "$out"
if [ -f app.lst ]; then
    sizes <app.lst >"$out/objects"
    awk -f "$linked" app.lst >"$out/linked"
fi
# What the app's own commands have linked before.
if [ -f "$app/linked" ]; then cat "$app/linked" >>"$out/linked"; fi
cp "$objects/config" "$out/config"
cp "$objects/objects" "$out/kernel-objects"
