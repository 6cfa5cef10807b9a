# linked.awk: of a linker's map, every object file that went into the program: bytes in memory and path, by path.
# in   a map of GNU ld or gold      out  "BYTES PATH" or "BYTES ARCHIVE(MEMBER)"
# why  paths, unlike the names in the list of sizes, say which package an archive is from. A store path has no place in
#      an output: of /nix/store/HASH-NAME/... stays NAME/...

function number(hex, i, n) {
    for (i = 3; i <= length(hex); i++) n = 16 * n + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return n
}
function shown(path) {
    sub(/^\/nix\/store\/[0-9a-z]+-/, "", path)
    return path
}

# A member is named where ld says for whose sake it was taken, even if nothing of it is in memory.
/^Archive member included/ { members = 1; next }
/^(Allocating common symbols|Discarded input sections|Memory Configuration)/ { members = 0 }
members && match($0, /^[^ ()]+\([^ ()]+\)/) { bytes[shown(substr($0, 1, RLENGTH))] += 0 }

/^LOAD / && !/\.(a|so|ld|lds)$/ { bytes[shown(substr($0, 6))] += 0 }

/^(Linker script and memory map|Memory map)/ { members = 0; memory = 1 }
memory && /^ / && match($0, / 0x[0-9a-f]+ +0x[0-9a-f]+ [^ ]/) {
    split(substr($0, RSTART, RLENGTH), field)
    file = shown(substr($0, RSTART + RLENGTH - 1))
    if (file ~ /(\.o|\))$/ && number(field[1]) > 0) bytes[file] += number(field[2])
}
END { for (file in bytes) print bytes[file], file | "sort -k2" }
