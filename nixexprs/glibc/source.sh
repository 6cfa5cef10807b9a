#!/bin/sh
# source.sh: the C library's sources, as Debian builds them, with this project's series on top.
#
# in   deb                Debian's glibc-source package, or the tar archive that it contains
#      patches            directory of NNNN-*.patch, applied in the order of their names
#      SOURCE_DATE_EPOCH  modification time of every file
# out  out                the patched source tree
#
# The archive in the package is not the pristine release: Debian's series is applied to it already, the fixes of
# upstream's release/2.36/master branch with all its security fixes first of all.
set -eu

: "${deb:?}" "${patches:?}" "${out:?}" "${SOURCE_DATE_EPOCH:=1}"

# unpack FILE: the source archive, out of the package if need be.
unpack() {
	case $(head -c 7 "$1") in
	'!<arch>') ar p "$1" data.tar.xz | tar -xJO --wildcards './usr/src/glibc/glibc-*.tar.xz' ;;
	*) cat "$1" ;;
	esac
}

mkdir -p "$out"
unpack "$deb" | tar -xJ -C "$out" --strip-components=1 --no-same-owner
test -e "$out/version.h"

for patch in "$patches"/*.patch; do
	echo "applying ${patch##*/}"
	# No fuzz: a hunk that has to be searched for belongs to another source.
	patch -d "$out" -p1 -F0 -s --no-backup-if-mismatch <"$patch"
done

# Equal times: no file of the tree counts as older than what it is made from, so that make never wants autoconf.
find "$out" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
