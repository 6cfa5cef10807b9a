# suites/posix.sh: the test programs of the Open POSIX Test Suite, compiled, not linked.
# env  archive          its source      NIX_BUILD_CORES  how many compilers run at once
#      cases            posix/INTERFACE/TEST, or "posix" for all, one a line
# out  objects          posix/INTERFACE/*.o
#      cases            how each is linked and run: see runner.c
#      unbuilt          tests that could not be compiled, one a line, and what the compiler said, in log
# why  its makefile compiles and links in one step

cd /build/obj
tar -xf "$archive" --strip-components=1 --no-same-owner
interfaces=conformance/interfaces
# The standard of 2001 is what these tests want, but any later one will do.
grep -rl '^#if _POSIX_ASYNCHRONOUS_IO != 200112L' $interfaces |
    xargs sed -i 's/^#if _POSIX_ASYNCHRONOUS_IO != 200112L/#if _POSIX_ASYNCHRONOUS_IO < 200112L/'
mkdir -p "$out/objects"
: >"$out/unbuilt"

# TEST SOURCE ARGUMENT, one a line. A test is INTERFACE/N-M.c, N the number of an assertion of the standard, or a script
# INTERFACE/N-M.sh that calls a program of several tests with an argument. All other scripts only say something.
{
    (cd $interfaces && find . -name '[0-9]*-*.c' ! -name '*-core-buildonly.c') | sed -n 's,^\./\(.*\)\.c$,\1 \1,p'
    grep -r --include='*.sh' "^$interfaces/.*-core-buildonly\.test [0-9]*\$" $interfaces |
        sed -n "s,^$interfaces/\(.*\)\.sh:$interfaces/\(.*\)\.test \([0-9]*\)\$,\1 \2 \3,p"
} | sort >all
printf '%s\n' "$cases" >wanted
if grep -qxF posix wanted; then cp all chosen; else awk 'NR == FNR { w[$1]; next } "posix/" $1 in w' wanted all >chosen; fi

# Of some tests only the headers of an older libc made all names known.
cat >compile <<'END'
flags="-w -O2 -fno-pie -D_POSIX_C_SOURCE=200112L -D_XOPEN_SOURCE=600 -Iinclude"
mkdir -p "$(dirname "objects/posix/$1")"
gcc $flags -c -o "objects/posix/$1.o" "conformance/interfaces/$1.c" ||
    gcc $flags -include fcntl.h -include signal.h -include sys/resource.h -c -o "objects/posix/$1.o" "conformance/interfaces/$1.c"
END
cut -d' ' -f2 chosen | sort -u | xargs -P "$NIX_BUILD_CORES" -n 1 sh compile >"$out/log" 2>&1 || true
[ ! -d objects ] || cp -R objects "$out/"

while read -r test source argument; do
    if [ ! -f "objects/posix/$source.o" ]; then
        printf 'posix/%s\n' "$test" >>"$out/unbuilt"
        continue
    fi
    # A test finds itself and others as its makefile runs it: in the suite's own directory.
    printf 'case posix/%s\nprogram /build/posix/%s/%s.test\ndir /build/posix\nskip 4\nobject posix/%s.o\n' \
        "$test" "$interfaces" "$test" "$source"
    [ -z "$argument" ] || printf 'arg %s\n' "$argument"
    # What sets the clock or a priority of real time is felt by all, and what measures time feels all.
    case $test in
    *sched* | *clock* | *sleep/* | timer_* | *time* | *prio* | pthread_cond_init/* | pthread_rwlock_*lock/* | sem_post/*)
        printf 'alone\n'
        ;;
    esac
done <chosen >"$out/cases"
