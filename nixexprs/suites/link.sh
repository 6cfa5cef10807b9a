# suites/link.sh: test programs, each linked from the same objects for ring 0 and for ring 3.
# env  suites    stages that made objects and cases       loader, runner   their sources
#      glibc     our libc, whose system calls are calls   objects          the linux-objects stage: the addresses of its entries
#      calls     gate or bypass                           rings     0, 3 or both
# out  loader    the application of the image
#      ring0     programs, and the runner, with our libc; ring3  with the tree's own
#      cases     of all suites, those that have a program for each of the rings
#      unbuilt   tests that could not be compiled or linked, one a line
#      link.log  what the linker says of those
# why  in ring 3 nothing is ours but the objects, so what differs between the two is due to the kernel, the libc or the ring

lib=/usr/lib/x86_64-linux-gnu
gcc=/usr/lib/gcc/x86_64-linux-gnu/12
cd /build/obj

# As in linux/link.sh.
awk '{ print "PROVIDE(" $1 " = 0x" $2 ");" }' "$objects/gates" >gates.ld
echo "__ukl_syscall = ring0_$calls;" >>gates.ld

# The loader is out of the way of all others. The runner is linked like a test.
# -fpie: its addresses are too high for the usual code.
gcc -O2 -Wall -Wextra -Werror -ffreestanding -fpie -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables \
    -static -nostdlib -no-pie -s -Wl,-Ttext-segment=0x10000000000 -Wl,--build-id=none -Wl,-z,noexecstack -o loader -x c "$loader"
gcc -O2 -Wall -Wextra -Werror -fno-pie -c -o runner.o -x c "$runner"

# start LIBRARIES, end LIBRARIES: a link begins and ends like this.
start() { printf 'g++ -static -no-pie -nostdlib -s -Wl,--build-id=none -Wl,-z,noexecstack %s -L%s -L%s' "$1/crt1.o $1/crti.o $gcc/crtbeginT.o" "$1" "$lib"; }
end() { printf '%s' "-Wl,--start-group -lgcc -lgcc_eh -lc -lm -lpthread -lrt -Wl,--end-group $gcc/crtend.o $1/crtn.o"; }

# A makefile, for its jobs.
cat >rules <<END
start0 = $(start "$glibc/lib")
end0 = $(end "$glibc/lib") gates.ld
start3 = $(start "$lib")
end3 = $(end "$lib")
all: $(for ring in $rings; do printf '%s ' "$out/ring$ring/runner"; done)
$out/ring0/runner: ; @mkdir -p \$(@D) && \$(start0) -o \$@ runner.o \$(end0)
$out/ring3/runner: ; @mkdir -p \$(@D) && \$(start3) -o \$@ runner.o \$(end3)
END
mkdir -p "$out"
for suite in $suites; do
    awk -v out="$out" -v objects="$suite/objects" -v rings="$rings" '
        function rule(r) {
            target = out "/ring" r "/" name
            print "all: " target "\n" target ": ; @mkdir -p $(@D) && $(start" r ") -o $@" parts " $(end" r ")"
        }
        function finish() { if (name != "") for (i = 1; i <= n; i++) rule(ring[i]); parts = "" }
        BEGIN { n = split(rings, ring, " ") }
        $1 == "case" { finish(); name = $2 }
        $1 == "object" { parts = parts " " objects "/" $2 }
        $1 == "library" { parts = parts " -l" $2 }
        $1 == "flag" { parts = parts " " $2 }
        END { finish() }' "$suite/cases" >>rules
    cat "$suite/unbuilt" >>unbuilt
done
make -k -j"$NIX_BUILD_CORES" -f rules >link.log 2>&1 || true

# linked NAME: it is there for each ring.
linked() { for ring in $rings; do [ -f "$out/ring$ring/$1" ] || return 1; done; }
linked runner

# shellcheck disable=SC2086 # words
sed -n 's/^case //p' $(printf '%s/cases ' $suites) | while read -r name; do
    linked "$name" || printf '%s\n' "$name"
done >>unbuilt
sort -u -o "$out/unbuilt" unbuilt
# shellcheck disable=SC2086 # words
awk 'FILENAME == ARGV[1] { without[$1]; next } $1 == "case" { keep = !($2 in without) } keep' "$out/unbuilt" $(printf '%s/cases ' $suites) >"$out/cases"
while read -r name; do rm -f "$out/ring0/$name" "$out/ring3/$name"; done <"$out/unbuilt"
sed "s,/nix/store/[^ /]*,,g" link.log >"$out/link.log"
cp loader "$out"
