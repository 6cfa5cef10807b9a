# libraries.sh PROGRAM OUT: the shared libraries of a dynamic program, as the tree's own loader finds them.
# out  OUT/root     loader and libraries where the program finds them in a guest; nothing for a static program
#      OUT/libraries  bytes and path in the tree of each, one a line
#      OUT/missing  what the tree does not have, one a line; none if nothing is missing
# why  a guest whose root is a volume takes all of it from there: so it is no error here that something is missing
# fact ld.so --list (man 8 ld.so), of musl's loader, too, runs no code of the program or of its libraries

program=$1 out=$2
loader=$(readelf --program-headers --wide "$program" | sed -n 's/.*\[Requesting program interpreter: \(.*\)\]$/\1/p')
if [ -z "$loader" ]; then exit; fi
if [ ! -e "$loader" ]; then
    printf '%s\n' "$loader" >"$out/missing"
    exit
fi

# add FILE PLACE
add() {
    mkdir -p "$out/root${2%/*}"
    cp -L "$1" "$out/root$2"
    chmod 755 "$out/root$2"
    printf '%s %s\n' "$(stat -L -c %s "$1")" "$(realpath "$1")" >>"$out/libraries"
}

# What goes wrong besides names that are not found is a version of a library that is too old.
"$loader" --list "$program" >/tmp/libraries 2>/tmp/complaints || :
{
    sed -n 's/^[[:space:]]*\([^ ]*\) => not found$/\1/p' /tmp/libraries
    sed -n "s/.*: \([^ :]*\): version \`\([^']*\)' not found.*/\2 of \1/p; s/.*loading shared libraries: \([^ :]*\): cannot open.*/\1/p" \
        /tmp/complaints
} | sed 's|of /.*/|of |' | sort -u >/tmp/missing
if [ -s /tmp/missing ]; then cp /tmp/missing "$out/missing"; fi

add "$loader" "$loader"
sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) (0x[0-9a-f]*)$/\1 \2/p' /tmp/libraries | while read -r name file; do
    case $file in
    "$loader") ;;
    # A library that the program's own build has made: where loaders look by themselves.
    /build/*) add "$file" "/usr/lib/x86_64-linux-gnu/${name##*/}" ;;
    *) add "$file" "$file" ;;
    esac
done
