# rootfs.sh: the root file system of an app, of Debian packages that are unpacked and not installed.
# env  debs      the packages, in any order      squashfs  the tree of squashfs-tools
#      place     the program that is the app, an absolute path there
# out  root.squashfs  the file system, with the owners and modes that the packages say
#      program        the ELF file that place leads to      path  where it is
#      files          mode, bytes and path of each file, sorted by path
#      links          path of each link, a line, and where it leads, the next one
#      scripts        packages with a script that an installation would have run, one a line
# fact deb(5); what base-passwd's script does with passwd.master; mksquashfs(1), pseudo files

root=/build/obj/root
mkdir "$root" "$out"
for dir in bin lib lib32 lib64 libx32 sbin; do
    mkdir -p "$root/usr/$dir"
    ln -s "usr/$dir" "$root/$dir"
done

# member DEB NAME: the member NAME.tar of a package, decompressed
member() {
    name=$(ar t "$1" | grep "^$2\.tar" | head -n 1)
    case $name in
    *.xz) ar p "$1" "$name" | xz -dc ;;
    *.zst) ar p "$1" "$name" | zstd -dc ;;
    *.gz) ar p "$1" "$name" | gzip -dc ;;
    *) ar p "$1" "$name" ;;
    esac
}

for deb in $debs; do
    package=$(basename "$deb" | sed 's/^[0-9a-z]*-//; s/_.*//')
    member "$deb" data >/build/obj/data.tar
    # A link that leads to a directory is followed, so that lib/x is in usr/lib.
    tar -x -f /build/obj/data.tar -C "$root" --no-same-owner --keep-directory-symlink --delay-directory-restore \
        --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' \
        --exclude='./usr/share/lintian/*' --exclude='./usr/share/locale/*'
    # What a build cannot give to a file: owners, and bits that lend rights.
    tar -t -vv --numeric-owner --quoting-style=escape -f /build/obj/data.tar |
        awk '$2 != "0/0" || $1 ~ /[sStT]/ {
            if (substr($1, 1, 1) == "h" || substr($1, 1, 1) == "l") next
            mode = 0
            for (i = 2; i <= 10; i++) if (index("rwxst", substr($1, i, 1))) mode += 2 ^ (10 - i)
            if ($1 ~ /^...[sS]/) mode += 2048
            if ($1 ~ /^......[sS]/) mode += 1024
            if ($1 ~ /[tT]$/) mode += 512
            split($2, owner, "/")
            path = $6
            sub(/^\.\//, "", path); sub(/\/$/, "", path)
            if (path != "" && path != ".") printf "%s m %o %s %s\n", path, mode, owner[1], owner[2]
        }' >>/build/obj/special
    if member "$deb" control | tar -t | grep -q '^\./\(postinst\|preinst\)$'; then echo "$package"; fi
done | LC_ALL=C sort -u >"$out/scripts"
cd "$root"

# What base-passwd's script copies.
for file in passwd group; do
    master=usr/share/base-passwd/$file.master
    if [ -e "$master" ] && [ ! -e "etc/$file" ]; then mkdir -p etc; cp "$master" "etc/$file"; fi
done
for dir in dev proc sys tmp; do mkdir -p "$dir"; done

# lead PATH: where a path of the root leads, links of it followed there, not here
lead() {
    rest=$1 at='' steps=0
    while [ "$rest" ]; do
        part=${rest%%/*}
        case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
        case $part in
        '' | .) continue ;;
        ..) at=${at%/*}; continue ;;
        esac
        if [ -L "$root$at/$part" ]; then
            steps=$((steps + 1))
            [ "$steps" -lt 40 ] || return 1
            to=$(readlink "$root$at/$part")
            case $to in /*) at= ;; esac
            rest=$to/$rest
        else
            at=$at/$part
        fi
    done
    printf '%s\n' "$at"
}
path=$(lead "$place") && [ -f "$root$path" ] || {
    if [ -d "$root$path" ]; then
        echo "error: program of [root]: $place is a directory" >&2
    else
        echo "error: program of [root]: the packages have no file $place" >&2
    fi
    exit 1
}
case $(head -c 4 "$root$path" | od -An -tx1) in
" 7f 45 4c 46") ;;
" 23 21 "*)
    echo "error: program of [root]: $path is a script: name its interpreter, and the script in args:" \
        "$(head -n 1 "$root$path" | tr -cd '[:print:]')" >&2
    exit 1
    ;;
*)
    echo "error: program of [root]: $path is no program: it is not an ELF file" >&2
    exit 1
    ;;
esac
cp "$root$path" "$out/program"
printf '%s\n' "$path" >"$out/path"

# Where a link to a directory was followed, the path is another one. Root owns what nobody says anything of.
while read -r name m mode user group; do
    to=$(lead "$name") && [ -e "$root$to" ] && printf '%s %s %s %s %s\n' "${to#/}" "$m" "$mode" "$user" "$group"
done </build/obj/special >/build/obj/said || true
{
    find . -mindepth 1 ! -type l -printf '%P m %m 0 0\n' | awk '
        BEGIN { while ((getline line <"/build/obj/said") > 0) { split(line, word, " "); said[word[1]] = line } }
        { print $1 in said ? said[$1] : $0 }'
    find . -type l -printf '%P m 777 0 0\n'
} >/build/obj/pseudo

LD_LIBRARY_PATH=$squashfs/usr/lib/x86_64-linux-gnu "$squashfs/usr/bin/mksquashfs" "$root" "$out/root.squashfs" \
    -comp zstd -Xcompression-level 15 -no-xattrs -noappend -quiet -no-progress \
    -processors "$NIX_BUILD_CORES" -pf /build/obj/pseudo
find . -type f -printf '%m %s /%P\n' | LC_ALL=C sort -k 3 >"$out/files"
find . -type l -printf '/%P\n%l\n' >"$out/links"
