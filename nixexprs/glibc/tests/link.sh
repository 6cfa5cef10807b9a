#!/bin/sh
# link.sh: links a program against this project's C library so that it runs as an ordinary process, see gate.S.
#
# usage  link.sh GLIBC OUTPUT SOURCE-OR-OBJECT...    GLIBC is what build.sh made; C and assembler sources are compiled
# env    CFLAGS  for the sources, instead of -O2 -g
set -eu

glibc=$1 output=$2
shift 2
here=$(dirname "$0")
found() { gcc -print-file-name="$1"; }

# shellcheck disable=SC2086 # CFLAGS is a list of words
exec gcc ${CFLAGS:--O2 -g} -fno-pie -no-pie -static -nostdlib -nostdinc \
	-isystem "$(found include)" -isystem "$glibc/include" -o "$output" \
	"$glibc/lib/crt1.o" "$glibc/lib/crti.o" "$(found crtbeginT.o)" "$@" "$here/gate.S" \
	-L"$glibc/lib" -Wl,--start-group -lm -lc -lgcc -lgcc_eh -Wl,--end-group "$(found crtend.o)" "$glibc/lib/crtn.o"
