#!/bin/sh
# build.sh: the static C library whose system calls are calls, with its headers.
#
# in   source           patched source tree (source.sh)
#      NIX_BUILD_CORES  how many compilers run at once
# out  out/lib          libc.a, libm.a, ..., crt1.o, crti.o, crtn.o
#      out/include      headers of libc and of the kernel, complete: the compiler needs no other system headers
# why  The source is seen at /build/src and built in /build/obj, fixed paths, so that no object can tell where it was
#      made.
set -eu

: "${source:?}" "${out:?}" "${NIX_BUILD_CORES:=1}"
src=/build/src obj=/build/obj

# The caller may have put the source in place; else it is bound there, or copied where that is not allowed.
mkdir -p "$src" "$obj"
[ -e "$src/configure" ] || mount --bind "$source" "$src" 2>/dev/null || cp -R "$source/." "$src/"

# No programs, only libraries; rebuilding configure or the message catalogues is out of the question. The directories
# are Debian's: of locales, and of the libc that iconv's modules need.
cat >"$obj/configparms" <<-'EOF'
	build-programs = no
	complocaledir = /usr/lib/locale
	slibdir = /lib/x86_64-linux-gnu
	rtlddir = /lib64
	AUTOCONF = false
	MSGFMT = :
EOF

# libdir is Debian's, where iconv's modules (gconv) are.
# configure OPTION...: the answers in the cache are those that would come from the machine instead of from the sources.
configure() {
	(cd "$obj" && ../src/configure --prefix=/usr --libdir=/usr/lib/x86_64-linux-gnu \
		--build=x86_64-linux-gnu --host=x86_64-linux-gnu "$@")
}

# -fno-pie: a program that calls the kernel by a 32-bit displacement is not position independent.
# -g0: no debugging information; the tables for unwinding stay. libcrypt is libxcrypt's (libcrypt-dev), as in Debian.
configure \
	CC='gcc -fno-pie -no-pie' CXX= CFLAGS='-O2 -g0' BUILD_CC=gcc \
	--disable-shared --with-syscall-gate=__ukl_syscall --disable-default-pie \
	--enable-stack-protector=strong --enable-multi-arch \
	--disable-crypt --disable-nscd --disable-build-nscd --disable-timezone-tools --disable-werror \
	--without-selinux --without-gd --with-pkgversion=ukl

# `lib' makes libc.a and the start files; the other libraries belong to `others' of their directories.
# D: no times and owners in the archives, whatever the default of this ar is.
make -C "$obj" -j"$NIX_BUILD_CORES" lib CREATE_ARFLAGS=crD
for dir in dlfcn login math mathvec nptl resolv rt; do
	make -C "$obj" -j"$NIX_BUILD_CORES" "$dir/others" CREATE_ARFLAGS=crD
done
make -C "$obj" install-headers install-bootstrap-headers=yes install_root="$obj/install"

mkdir -p "$out/lib"
cp "$obj/csu/crt1.o" "$obj/csu/crti.o" "$obj/csu/crtn.o" "$out/lib/"
for lib in . dlfcn login nptl resolv rt; do
	cp "$obj/$lib"/lib*.a "$out/lib/"
done
# The vector functions are part of libm, not a library that a second file leads to.
(cd "$obj/math" && printf '%s\n' 'create merged.a' 'addlib libm.a' 'addlib ../mathvec/libmvec.a' save end | ar -M)
cp "$obj/math/merged.a" "$out/lib/libm.a"
cp "$obj/mathvec/libmvec.a" "$out/lib/"

cp -R "$obj/install/usr/include" "$out/include"
# The list of functions that always fail, which a complete `make install' would make: each leaves a section of its name.
{
	sed '/^@/d' "$src/include/stubs-prologue.h"
	objdump -h "$out"/lib/*.a | sed -n 's/.*\.gnu\.glibc-stub\.\([^ ]*\).*/#define __stub_\1/p' | sort -u
} >"$out/include/gnu/stubs-64.h"
# The kernel's headers, which libc's include, from the tree; where both have a file, libc's stays.
for dir in asm asm-generic drm linux misc mtd rdma scsi sound video xen; do
	for from in /usr/include /usr/include/x86_64-linux-gnu; do
		[ ! -d "$from/$dir" ] || cp -Rn "$from/$dir" "$out/include/"
	done
done

# The promise of this library: no way into the kernel but the call.
if objdump -d --no-show-raw-insn "$out"/lib/*.a "$out"/lib/*.o | grep -E '\s(syscall|sysenter|int +.0x80)\s*$'; then
	echo "build.sh: the instructions above enter the kernel by themselves" >&2
	exit 1
fi
