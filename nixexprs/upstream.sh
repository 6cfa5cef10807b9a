# upstream.sh: unpacks an app's third-party source, patches it, and copies the app's own files over it.
# env  archive    a tar file, compressed or not      /build/src  the app's directory
#      limit      how much the archive may unpack to: 900M, 8G; "" is 100 times its size, from 256 MiB to 4 GiB
#      patches    patches of that directory, for patch -p1: names or patterns, one a line, applied in their order
# out  the files; without the one directory in which most archives have everything

case $limit in
*G) most=$((${limit%G} << 30)) ;;
*M) most=$((${limit%M} << 20)) ;;
*)
    most=$((100 * $(stat -L -c %s "$archive")))
    [ "$most" -ge $((256 << 20)) ] || most=$((256 << 20))
    [ "$most" -le $((4 << 30)) ] || most=$((4 << 30))
    ;;
esac
too_much() {
    echo "error: the archive of [source] unpacks to more than $((most >> 20)) MiB, with 4 KiB at least for each file:" \
        "limit of [source] raises that" >&2
    exit 1
}
# within FIELD: whether the sizes in a field of each line are together within the limit. Nothing is read beyond it.
within() {
    awk -v most="$most" -v field="$1" '{
        size = $field + 0
        sum += size < 4096 ? 4096 : size
        if (sum > most) exit 1
    }'
}

# tar lists what it unpacks, and ends when nobody reads the list any more. The checkpoint ends it within a large file:
# one comes after each 10 KiB of the archive as unpacked, and the first that is asked for is behind the limit.
mkdir /build/obj/unpacked
# shellcheck disable=SC2016 # the shell that tar starts expands it
if ! {
    tar -x -vv --numeric-owner --quoting-style=escape -f "$archive" -C /build/obj/unpacked --no-same-owner \
        --checkpoint=$((most / 10240 + 2)) --checkpoint-action=exec='echo >/build/obj/much; kill $PPID' \
        2>/build/obj/said || echo "$?" >/build/obj/failed
} | within 3 || [ -e /build/obj/much ]; then
    too_much
fi
if [ -e /build/obj/failed ]; then
    # tar says first that it takes a name for a relative one.
    echo "error: the archive of [source] cannot be unpacked: $(grep -v ': Removing leading' /build/obj/said | head -n 1)" >&2
    exit 1
fi
cd /build/obj/unpacked
odd=$(find . ! -type f ! -type d ! -type l | head -n 1)
if [ "$odd" ]; then
    echo "error: the archive of [source] has $odd, which is neither a file nor a directory nor a link" >&2
    exit 1
fi
chmod -R u+rwX .
# A link to a file becomes a file when it is copied, and a hole becomes zeros.
find . -type f -printf '%s\n' | within 1 || too_much
set -- * .[!.]*
# The second is a pattern that nothing fits.
if [ "$#" = 2 ] && [ -d "$1" ] && [ ! -L "$1" ] && [ ! -e "$2" ]; then cd "./$1"; fi

printf '%s\n' "$patches" | grep . >/build/obj/patches || true
while IFS= read -r pattern; do
    IFS=
    # shellcheck disable=SC2086 # it is a pattern
    for file in /build/src/$pattern; do
        name=${file#/build/src/}
        echo "PATCH $name"
        if ! patch -p1 -F0 --no-backup-if-mismatch <"$file" >/build/obj/said 2>&1; then
            echo "error: $name does not apply:" >&2
            cat /build/obj/said >&2
            exit 1
        fi
    done
done </build/obj/patches

cp -R --remove-destination /build/src/. .
chmod -R u+w .
cp -R . "$out"
