# commands.sh: makes an app's program with its own commands, in a copy of its directory.
# env  /build/src  the app's directory      build   commands of a shell, one a line
#      result   the program they make, or "" and results: patterns of the relocatable files they make, one a line
#      cflags cxxflags ldflags   one word a line      finish  prebuilt.sh      libraries  libraries.sh
#      static  static.cmake
#      ld  ld.sh      linked  linked.awk      links  links.awk      origins  origins.sh
# out  $out/program, $out/symbols   the same with its debugging information, for backtraces; or $out/objects/*.o
#      $out/linked   the object files that the program was linked from, or that partial links put into the objects, as
#                    linked.awk has them; none where the commands call no linker of the tree by its name
#      $out/root, $out/libraries, $out/missing   of a dynamic program, as libraries.sh has them
# why  the usual variables ask for a static program; a build that does not heed them gives a dynamic one

# All files are of the same time, as in the store: to make, none is older than what it was made from. Copied one after
# the other, a released configure script would seem to need autoconf.
cp -R --preserve=timestamps /build/src/. /build/obj
chmod -R u+w /build/obj
cd /build/obj

words() { printf '%s' "$1" | tr '\n' ' '; }
flags="-O2 -g -ffile-prefix-map=/build/obj=."
if [ -z "$result" ]; then flags="$flags -fno-pie"; fi
# libtool takes -static to mean its own libraries only, and hands on the same by its other name.
CC=gcc CXX=g++ CFLAGS="$flags $(words "$cflags")" CXXFLAGS="$flags $(words "$cxxflags")"
LDFLAGS="-static --static $(words "$ldflags")"
export CC CXX CFLAGS CXXFLAGS LDFLAGS
export MAKEFLAGS="-j$NIX_BUILD_CORES" CMAKE_BUILD_PARALLEL_LEVEL="$NIX_BUILD_CORES"

# cmake and pkg-config would find shared libraries.
cp "$static" /tmp/static.cmake
export CMAKE_TOOLCHAIN_FILE=/tmp/static.cmake
mkdir /tmp/bin
printf '#!/bin/sh\nexec /usr/bin/pkg-config --static "$@"\n' >/tmp/bin/pkg-config
chmod 755 /tmp/bin/pkg-config

# Each link leaves a record of what went into it.
mkdir /tmp/links
cp "$linked" /tmp/linked.awk
export UKL_LINKS=/tmp/links UKL_LINKED=/tmp/linked.awk
for linker in /usr/bin/ld /usr/bin/ld.* /usr/bin/*-linux-gnu-ld*; do
    [ ! -x "$linker" ] || install -m 755 "$ld" "/tmp/bin/${linker##*/}"
done
PATH=/tmp/bin:$PATH

# Nothing of this stage is the commands' business.
commands=$build
(
    unset build result results cflags cxxflags ldflags source finish libraries static script ld linked links origins
    printf '%s\n' "$commands" | while IFS= read -r command; do
        printf '+ %s\n' "$command"
        sh -euc "$command" </dev/null || {
            printf 'error: this command of ukl.toml failed: %s\n' "$command" >&2
            exit 1
        }
    done
)

# Objects of a package that the commands put elsewhere are still the package's.
sh -eu "$origins" /tmp/links /usr/lib >/tmp/origins

# relocatable FILE: an object of this machine
relocatable() {
    readelf --file-header "$1" 2>/dev/null |
        awk '/Type:.*REL/ { r = 1 } /Machine:.*X86-64/ { m = 1 } END { exit !(r && m) }'
}

# parts FILE: the object files that it was linked from, as far as there are records
parts() {
    sum=$(sha256sum <"$1")
    objcopy -O binary --only-section=.text "$1" /tmp/code
    code=none
    if [ -s /tmp/code ]; then code=$(sha256sum </tmp/code); fi
    find /tmp/links -type f | sort >/tmp/records
    [ ! -s /tmp/records ] ||
        xargs -a /tmp/records awk -v sum="${sum%% *}" -v code="${code%% *}" -v file="$(realpath "$1")" \
            -v origins=/tmp/origins -f "$links"
}

if [ -z "$result" ]; then
    mkdir -p "$out/objects"
    # Behind a "!" stands what is taken away again.
    printf '%s\n' "$results" | sed -n 's/^!//; T; s|^\./||; p' | while IFS= read -r pattern; do
        IFS=
        # shellcheck disable=SC2086 # it is a pattern
        for file in $pattern; do
            [ -f "$file" ] || { printf 'error: the commands made no file %s\n' "$pattern" >&2; exit 1; }
            printf '%s\n' "$file"
        done
    done >/tmp/unwanted
    printf '%s\n' "$results" | grep -v '^!' | while IFS= read -r pattern; do
        found=
        IFS=
        # shellcheck disable=SC2086 # it is a pattern
        for file in $pattern; do
            [ -f "$file" ] || continue
            file=${file#./}
            if printf '%s\n' "$file" | grep -qxFf /tmp/unwanted; then continue; fi
            relocatable "$file" || { printf 'error: %s is no relocatable file of x86-64\n' "$file" >&2; exit 1; }
            cp "$file" "$out/objects/$(printf '%s' "$file" | tr / @)"
            parts "$file" >>"$out/linked"
            found=1
        done
        [ "$found" ] || { printf 'error: the commands made no file %s\n' "$pattern" >&2; exit 1; }
    done
    exit
fi
if [ ! -f "$result" ]; then
    printf 'error: the commands made no file %s\n' "$result" >&2
    made=$(find . -type f -perm -100 -exec sh -c 'head -c 4 "$1" | grep -q ELF && printf " %s" "${1#./}"' sh {} \;)
    printf 'error: programs that they made:%s\n' "${made:- none}" >&2
    exit 1
fi
if [ "$(head -c 2 "$result" | tr -d '\000')" = '#!' ]; then
    printf 'error: %s is a script: libtool, for one, has the program in .libs\n' "$result" >&2
    exit 1
fi
program=/build/obj/$result
# shellcheck disable=SC1090
. "$finish"
cp "$program" "$out/symbols"
parts "$program" >"$out/linked"
[ -s "$out/linked" ] || rm "$out/linked"
