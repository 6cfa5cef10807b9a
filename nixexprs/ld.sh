#!/bin/sh
# ld.sh: a linker that keeps a record of each link, for commands.sh. On PATH it stands before the tree's, by their
# names.
# env  UKL_LINKS   directory of the records      UKL_LINKED   linked.awk
# out  a record of each file that was linked: four lines, with its SHA-256, that of its code, its name and the directory
#      that names are relative to; then its object files, as linked.awk has them; then "# SHA-256 SIZE PATH" of each
#      that is not the tree's own
# why  whoever calls the compiler, the compiler looks for its linker on PATH. A map changes nothing of what is linked

real=/usr/bin/${0##*/}
output=
next=
for word; do
    if [ "$next" ]; then output=$word next=; fi
    case $word in
    -o | --output) next=1 ;;
    --output=*) output=${word#*=} ;;
    @*) if [ -f "${word#@}" ]; then output=$(sed -n '/^-o$/{n;p;q}' "${word#@}"); fi ;;
    -Map | -Map=* | --Map | --Map=* | --print-map | -M) exec "$real" "$@" ;; # there can be one map only
    esac
done
if [ -z "$output" ]; then exec "$real" "$@"; fi

# content PATH: of an object file, or of a member of an archive
content() {
    case $1 in
    *\)) member=${1##*\(} && ar p "${1%\(*}" "${member%)}" ;;
    *) cat "$1" ;;
    esac
}

record=$UKL_LINKS/$(date +%s%N).$$
code=0
"$real" -Map="$record.map" "$@" || code=$?
if [ "$code" = 0 ] && [ -f "$output" ] && [ -f "$record.map" ]; then
    sum=$(sha256sum <"$output")
    objcopy -O binary --only-section=.text "$output" "$record.text" 2>"$record.said" || :
    code_sum=none
    if [ -s "$record.text" ]; then code_sum=$(sha256sum <"$record.text"); fi
    {
        printf '= %s\n= %s\n= %s\n= %s\n' "${sum%% *}" "${code_sum%% *}" "$output" "$PWD"
        awk -f "$UKL_LINKED" "$record.map" >"$record.list"
        cat "$record.list"
        while read -r _ object; do
            case $object in /usr/* | /lib*) continue ;; esac
            content "$object" >"$record.object" 2>"$record.said" || continue
            sum=$(sha256sum <"$record.object")
            printf '# %s %s %s\n' "${sum%% *}" "$(wc -c <"$record.object")" "$object"
        done <"$record.list"
    } >"$record"
fi
rm -f "$record.map" "$record.text" "$record.said" "$record.list" "$record.object"
exit "$code"
