#!/bin/sh
# check.sh: glibc's own tests as ordinary processes whose system calls are calls (gate.S).
#
# usage  check.sh [DIRECTORY...]   of glibc's sources; those where system calls matter by default
# env    JOBS         how many tests at once, 1 by default: some measure time
#        TIMEOUTFACTOR  of glibc's tests, for slow machines
# in     /build/src, /build/obj  as build.sh leaves them; the gate is added to the libc.a in there
# out    one line for each test that did not pass, then the counts; status 1 if one failed
set -eu

here=$(dirname "$0")
obj=/build/obj
[ $# -gt 0 ] || set -- nptl signal setjmp posix io misc rt time socket stdlib malloc

gcc -c -o "$obj/gate.o" "$here/gate.S"
ar rD "$obj/libc.a" "$obj/gate.o"
make -C "$obj" support/others >"$obj/check.log" 2>&1
for dir; do
	echo "[$dir]" >&2
	rm -f "$obj/$dir"/*.test-result
	make -C "$obj" -k -j"${JOBS:-1}" "$dir/tests" TIMEOUTFACTOR="${TIMEOUTFACTOR:-1}" >>"$obj/check.log" 2>&1 || :
	cat "$obj/$dir"/*.test-result
done >"$obj/check.results"

grep -v '^X\?PASS' "$obj/check.results" || :
cut -d: -f1 "$obj/check.results" | sort | uniq -c
! grep -q '^FAIL' "$obj/check.results"
