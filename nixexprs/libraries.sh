# libraries.sh PROGRAM OUT: the shared libraries of a dynamic program, as the tree's own loader finds them.
# out  OUT/root       loader and libraries where the program finds them in a guest; nothing for a static program
#      OUT/libraries  bytes and path in the tree of each, one a line
#      OUT/missing    what the tree does not have, one a line, or behind a "! " why the loader refuses the program; none
#                     if nothing is missing
# why  a guest whose root is a volume takes all of it from there: so it is no error here that something is missing
# fact LD_TRACE_LOADED_OBJECTS (man 8 ld.so) and musl's --list run no code of the program or of its libraries

program=$1 out=$2
loader=$(readelf --program-headers --wide "$program" | sed -n 's/.*\[Requesting program interpreter: \(.*\)\]$/\1/p')
if [ -z "$loader" ]; then exit; fi
if [ ! -f "$loader" ] || [ ! -x "$loader" ]; then
    printf '%s\n' "$loader" >"$out/missing"
    exit
fi

# look OPTION...: asks the loader. musl's has no such variable, and would start the program.
look() {
    refused=
    case $loader in
    */ld-linux-x86-64.so.2) LD_TRACE_LOADED_OBJECTS=1 "$loader" "$@" "$program" ;;
    *) "$loader" --list "$program" ;;
    esac >/tmp/libraries 2>/tmp/complaints || refused=1
}
absent() { sed -n 's/^[[:space:]]*\([^ ].*\) => not found$/\1/p' /tmp/libraries; }

look
case $loader in
*/ld-linux-x86-64.so.2)
    # What the program's own build has made and installs elsewhere.
    made=$(absent | while read -r name; do
        find /build/obj -name "${name##*/}" -printf '%h\n' -quit 2>/dev/null
    done | sort -u | paste -s -d :)
    set --
    if [ "$made" ]; then set -- --library-path "$made"; fi
    # libc opens this one by itself: for pthread_exit(), pthread_cancel() and backtrace().
    if grep -q 'libc\.so\.6 => /' /tmp/libraries; then set -- "$@" --preload libgcc_s.so.1; fi
    if [ $# -gt 0 ]; then look "$@"; fi
    ;;
esac
{
    absent
    sed -n "s/.*: \([^ :]*\): version \`\([^']*\)' not found.*/\2 of \1/p
        s/.*loading shared libraries: \([^ :]*\): cannot open.*/\1/p
        s/^Error loading shared library \([^ :]*\): .*/\1/p" /tmp/complaints | sed 's|of /.*/|of |'
} | sort -u >/tmp/missing
if [ "$refused" ] && [ ! -s /tmp/missing ]; then sed -n "1{s|^$program: ||; s/^/! /p}" /tmp/complaints >/tmp/missing; fi
if [ -s /tmp/missing ]; then cp /tmp/missing "$out/missing"; fi

# add FILE PLACE
add() {
    mkdir -p "$out/root${2%/*}"
    cp -L "$1" "$out/root$2"
    chmod 755 "$out/root$2"
    printf '%s %s\n' "$(stat -L -c %s "$1")" "$(realpath "$1")" >>"$out/libraries"
}

add "$loader" "$loader"
sed -n 's/^[[:space:]]*\([^ ].*\) => \(\/.*\) (0x[0-9a-f]*)$/\1\n\2/p' /tmp/libraries |
    while IFS= read -r name && IFS= read -r file; do
        case $file in
        "$loader") ;;
        # A library that the program's own build has made: where loaders look by themselves.
        /build/*) add "$file" "/usr/lib/x86_64-linux-gnu/${name##*/}" ;;
        *) add "$file" "$file" ;;
        esac
    done
