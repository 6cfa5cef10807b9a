# rootfs.sh: the root file system of an app, of Debian packages that are unpacked and not installed, or of a container
#      image.
# env  debs      the packages, in any order      squashfs  the tree of squashfs-tools
#      tar       instead of them an archive with all files of a container image
#      place     the program that is the app, an absolute path there, or a name that is in a directory of the path
#      path      directories with colons between
# out  root.squashfs  the file system, with the owners and modes that the packages say
#      program        the ELF file that place leads to      path  where it is
#      files          mode, bytes and path of each file, sorted by path
#      passwd, group  what the root has in /etc, if it does
#      links          path of each link, a line, and where it leads, the next one
#      scripts        packages with a script that an installation would have run, one a line
# fact deb(5); what base-passwd's script does with passwd.master; mksquashfs(1), pseudo files

root=/build/obj/root
mkdir "$root" "$out"

# unpack TAR [OPTIONS]: the files of an archive, and in special what a build cannot give to a file: owners, and bits that
# lend rights. A link that leads to a directory is followed, so that lib/x is in usr/lib.
unpack() {
    archive=$1
    shift
    tar -x -f "$archive" -C "$root" --no-same-owner --keep-directory-symlink --delay-directory-restore "$@"
    tar -t -vv --numeric-owner --quoting-style=literal -f "$archive" |
        awk '$2 != "0/0" || $1 ~ /[sStT]/ {
            if ($1 ~ /^[hlbc]/) next
            mode = 0
            for (i = 2; i <= 10; i++) if (index("rwxst", substr($1, i, 1))) mode += 2 ^ (10 - i)
            if ($1 ~ /^...[sS]/) mode += 2048
            if ($1 ~ /^......[sS]/) mode += 1024
            if ($1 ~ /[tT]$/) mode += 512
            split($2, owner, "/")
            path = $0
            for (i = 1; i <= 5; i++) sub(/^[^ ]+ +/, "", path)
            sub(/^\.?\//, "", path); sub(/\/$/, "", path)
            if (path != "" && path != ".") printf "%o %s %s %s\n", mode, owner[1], owner[2], path
        }' >>/build/obj/special
}

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

if [ "$tar" ]; then
    # Devices are those of the guest's kernel.
    tar -t -v --quoting-style=literal -f "$tar" |
        awk '/^[bc]/ { for (i = 1; i <= 5; i++) sub(/^[^ ]+ +/, ""); print }' >/build/obj/devices
    unpack "$tar" --no-wildcards --exclude-from=/build/obj/devices
else
    for dir in bin lib lib32 lib64 libx32 sbin; do
        mkdir -p "$root/usr/$dir"
        ln -s "usr/$dir" "$root/$dir"
    done
fi
for deb in $debs; do
    package=$(basename "$deb" | sed 's/^[0-9a-z]*-//; s/_.*//')
    member "$deb" data >/build/obj/data.tar
    unpack /build/obj/data.tar \
        --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/info/*' \
        --exclude='./usr/share/lintian/*' --exclude='./usr/share/locale/*'
    if member "$deb" control | tar -t | grep -q '^\./\(postinst\|preinst\)$'; then echo "$package"; fi
done | LC_ALL=C sort -u >"$out/scripts"
cd "$root"

# What base-passwd's script copies.
for file in passwd group; do
    master=usr/share/base-passwd/$file.master
    if [ -e "$master" ] && [ ! -e "etc/$file" ]; then mkdir -p etc; cp "$master" "etc/$file"; fi
    if [ -f "etc/$file" ] && [ ! -L "etc/$file" ]; then cp "etc/$file" "$out/$file"; fi
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

if [ "$tar" ]; then holders='image has'; else holders='packages have'; fi

# Without a slash, where execvp() looks for it. A relative one is that of the root.
case $place in
/*) ;;
*/*) place=/$place ;;
*)
    dirs=$path name=$place
    while [ "$dirs" ]; do
        dir=${dirs%%:*}
        case $dirs in *:*) dirs=${dirs#*:} ;; *) dirs= ;; esac
        if at=$(lead "$dir/$name") && [ -f "$root$at" ]; then
            place=$dir/$name
            break
        fi
    done
    ;;
esac
path=$(lead "$place") && [ -f "$root$path" ] || {
    if [ -d "$root$path" ]; then
        echo "error: program of [root]: $place is a directory" >&2
    else
        echo "error: program of [root]: the $holders no file $place" >&2
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
while read -r mode user group name; do
    to=$(lead "$name") && [ -e "$root$to" ] && printf '%s %s %s %s\n' "$mode" "$user" "$group" "${to#/}"
done </build/obj/special >/build/obj/said || true
find . -mindepth 1 -printf '%y %m %P\n' | awk '
    function rest(line, n) { while (n-- > 0) sub(/^[^ ]+ /, "", line); return line }
    BEGIN { while ((getline line <"/build/obj/said") > 0) { split(line, word, " "); said[rest(line, 3)] = word[1] " " word[2] " " word[3] } }
    {
        name = rest($0, 2)
        mode = $1 == "l" ? "777 0 0" : name in said ? said[name] : $2 " 0 0"
        gsub(/[\\" ]/, "\\\\&", name)
        print name " m " mode
    }' >/build/obj/pseudo

LD_LIBRARY_PATH=$squashfs/usr/lib/x86_64-linux-gnu "$squashfs/usr/bin/mksquashfs" "$root" "$out/root.squashfs" \
    -comp zstd -Xcompression-level 15 -no-xattrs -noappend -quiet -no-progress \
    -processors "$NIX_BUILD_CORES" -pf /build/obj/pseudo
find . -type f -printf '%m %s /%P\n' | LC_ALL=C sort -k 3 >"$out/files"
find . -type l -printf '/%P\n%l\n' >"$out/links"
