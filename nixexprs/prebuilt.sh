# prebuilt.sh: a finished program as it goes into the image, where every byte costs memory.
# env  program      an ELF file      libraries  libraries.sh, or "" for a program whose root has them
# out  $out/program the same without debugging information, if that leaves what is loaded as it is; what libraries.sh
#      says of a dynamic one

# segments FILE: what is mapped where; loads FILE: offset and size in the file of what is loaded
segments() { readelf --program-headers --wide "$1" | awk '/^  [A-Z_]+ +0x/ { $4 = $5 = ""; print }'; }
loads() { readelf --program-headers --wide "$1" | awk '/^  LOAD/ { print $2, $5 }'; }

# begin FILE: where the first section is; before it are only headers
begin() {
    readelf --sections --wide "$1" | sed -n 's/^  \[ *[0-9]*\] //p' |
        awk '/BITS|NOTE/ { print $4 }' | sort | sed -n '1s/^/0x/p'
}

# same A B: both load the same bytes, but for headers. The second may leave zeros at a segment's end to the kernel.
same() {
    headers=$(begin "$1")
    [ "$headers" ] && [ "$(segments "$1")" = "$(segments "$2")" ] || return 1
    loads "$1" >first
    loads "$2" >second
    paste -d ' ' first second | while read -r at size _ kept; do
        skip=$((at == 0 ? headers : 0))
        cmp -s -i $((at + skip)) -n $((kept - skip)) "$1" "$2" &&
            cmp -s -i $((at + kept)):0 -n $((size - kept)) "$1" /dev/zero || exit 1
    done
}

cd /tmp
mkdir "$out"
objcopy --strip-debug "$program" "$out/program" && same "$program" "$out/program" || cp -f "$program" "$out/program"
chmod 555 "$out/program"
if [ "$libraries" ]; then sh -eu "$libraries" "$program" "$out"; fi
