# upstream.sh: unpacks an app's third-party source, patches it, and copies the app's own files over it.
# env  archive    a tar file, compressed or not      /build/src  the app's directory
#      patches    patches of that directory, for patch -p1: names or patterns, one a line, applied in their order
# out  the files; without the one directory in which most archives have everything

mkdir /build/obj/unpacked
if ! tar -x -f "$archive" -C /build/obj/unpacked --no-same-owner 2>/build/obj/said; then
    echo "error: the archive of [source] cannot be unpacked: $(head -n 1 /build/obj/said)" >&2
    exit 1
fi
cd /build/obj/unpacked
chmod -R u+rwX .
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
