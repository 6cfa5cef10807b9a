# suites/glibc.sh: the test programs of glibc, compiled, not linked, with what glibc's makefiles say of each.
# env  source           patched source, at /build/src as well
#      cases            DIRECTORY/TEST, or DIRECTORY for all of its tests, one a line
#      leave            regular expression of the tests that a DIRECTORY does not stand for
#      NIX_BUILD_CORES  how many compilers run at once
# out  objects          glibc/DIRECTORY/*.o, and support.a, which all need
#      cases            how each is linked and run: see runner.c
#      unbuilt          tests that need what a static library does not bring along, one a line
# why  configured without a gate, so that the same objects run in ring 0 and in ring 3: those few that call the kernel by
#      themselves do it with the SYSCALL instruction. The library itself is not compiled.

src=/build/src obj=/build/obj
cd "$obj"
cat >configparms <<-'END'
	build-programs = no
	AUTOCONF = false
	MSGFMT = :
END
../src/configure --prefix=/usr --build=x86_64-linux-gnu --host=x86_64-linux-gnu \
    CC='gcc -fno-pie -no-pie' CXX='g++ -fno-pie -no-pie' CFLAGS='-O2 -g0' CXXFLAGS='-O2 -g0' BUILD_CC=gcc \
    --disable-shared --disable-default-pie --enable-stack-protector=strong --enable-multi-arch \
    --disable-crypt --disable-nscd --disable-build-nscd --disable-timezone-tools --disable-werror \
    --without-selinux --without-gd
unset source

# Libraries and start files are those of the link. Here they have only to be there, and older than nothing.
ready=
for file in csu/start.o libc.a math/libm.a mathvec/libmvec.a rt/librt.a nptl/libpthread.a dlfcn/libdl.a resolv/libresolv.a; do
    mkdir -p "$(dirname "$file")"
    : >"$file"
    ready="$ready -o $obj/$file"
done

# What stands for a test's program says what that is linked from; what stands for its output says how it is run.
# shellcheck disable=SC2016 # make's variables
{
    program='$(file >$@,$(filter %.o,$(filter-out %/start.o,$^)) $(filter -l%,$(LDLIBS-$(@F))))true'
    line() { printf '$(file %s$(@:.out=.how),%s %s)' "$1" "$2" "$3"; }
    output="$(line '>' env '$($*-ENV)')$(line '>>' only '$($*-ENV-only)')$(line '>>' args '$($*-ARGS)')$(line '>>' stdin '$(word 1,$^)')true"
    list='ukl-list: ; @printf "case %s\n" $(filter-out $(tests-unsupported),$(sort $(tests) $(tests-internal) $(xtests)))'
}

# make_in DIRECTORY ARGUMENTS...: glibc's own make there, as its top-level makefile calls it.
make_in() {
    dir=$1
    shift
    # shellcheck disable=SC2086 # options
    make -C "$src/$dir" ..=../ objdir="$obj" subdir="$dir" -j"$NIX_BUILD_CORES" $ready +preinit= +postinit= \
        "+link-static-tests=$program" "make-test-out=$output" evaluate-test=true "$@"
}

make_in support "$obj/support/libsupport.a"
mkdir -p "$out/objects/glibc"
cp support/libsupport.a "$out/objects/support.a"
: >"$out/cases"
: >"$out/unbuilt"

# say KEY WORDS: a line for each word, as the shell reads them.
say() {
    key=$1
    eval "set -- $2"
    for word; do printf '%s %s\n' "$key" "$word"; done
}

# describe DIRECTORY TEST: its lines in cases, and its objects; nothing if make could not make one of them.
describe() {
    [ -s "$1/$2" ] && [ -s "$1/$2.how" ] || return 1
    mkdir -p "$out/objects/glibc/$1"
    printf 'case glibc/%s/%s\nprogram %s\ndir %s\n' "$1" "$2" "$obj/$1/$2" "$src/$1"
    for part in $(cat "$1/$2"); do
        case $part in
        -l*) printf 'library %s\n' "${part#-l}" ;;
        *)
            cp "$part" "$out/objects/glibc/$1/"
            printf 'object glibc/%s/%s\n' "$1" "${part##*/}"
            ;;
        esac
    done
    printf 'object support.a\nenv TIMEOUTFACTOR=10\nenv LC_ALL=C\n'
    while read -r key words; do
        case $key in
        stdin) case $words in /dev/null) ;; /*) printf 'stdin %s\n' "$words" ;; *) printf 'stdin %s\n' "$src/$1/$words" ;; esac ;;
        env) say env "$words" ;;
        only) [ -z "$words" ] || { printf 'bare\n' && say env "$words"; } ;;
        args) (cd "$src/$1" && say arg "$words") ;;
        esac
    done <"$1/$2.how"
}

printf '%s\n' "$cases" | sed '/^#/d; /^$/d' >/build/wanted
for dir in $(cut -d/ -f1 /build/wanted | sort -u); do
    mkdir -p "$dir"
    if grep -qxF "$dir" /build/wanted; then
        make_in "$dir" -s --eval="$list" ukl-list | sed -n 's/^case //p' | grep -vE "^($leave)\$"
    else
        sed -n "s,^$dir/,,p" /build/wanted
    fi | sort -u >/build/some
    # A test that cannot be made must not keep the others from it.
    # shellcheck disable=SC2046 # names are words
    make_in "$dir" -k $(sed "s,.*,$obj/$dir/&.out," /build/some) || true
    while read -r test; do
        describe "$dir" "$test" >>"$out/cases" || printf 'glibc/%s/%s\n' "$dir" "$test" >>"$out/unbuilt"
    done </build/some
done
