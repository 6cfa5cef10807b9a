# suites/selftests.sh: test programs of the kernel, compiled, not linked.
# env  deb       Debian's package of the kernel's source       list      the file "selftests", which says what it holds
#      cases     linux/DIRECTORY/NAME, or "linux" for all, one a line
# out  objects   linux/DIRECTORY/*.o
#      cases     how each is linked and run: see runner.c
#      unbuilt   tests that could not be compiled, one a line, and what the compiler said, in log
# why  a makefile of the kernel's that makes them links them, too

mkdir -p "$out/objects"
cd /build/obj
ar p "$deb" data.tar.xz | xz -dc -T0 | tar -xO ./usr/src/linux-source-6.1.tar.xz | xz -dc -T0 |
    tar -x --strip-components=1 --no-same-owner linux-source-6.1/tools/testing/selftests linux-source-6.1/tools/include \
        linux-source-6.1/mm/gup_test.h linux-source-6.1/arch/x86/include
printf '%s\n' "$cases" >/build/wanted
: >"$out/cases"
: >"$out/unbuilt"

# compile OBJECT SOURCE FLAGS...: without warnings, which are not ours to heed
compile() {
    object=$1 source=$2
    shift 2
    gcc -w -fno-pie "$@" -c -o "$object" "$source"
}

# one DIRECTORY FLAGS NAME WORDS...
one() {
    dir=$1 flags=$2 name=$3
    shift 3
    main=$name.c sources='' links='' rest=''
    for word; do
        case $word in
        main=*) main=${word#main=} ;;
        *.[cS]) sources="$sources $word" ;;
        -Wl,*) links="$links $word" ;;
        -*) flags="$flags $word" ;;
        arg=*) rest="${rest}arg ${word#arg=}
" ;;
        *) rest="$rest$word
" ;;
        esac
    done
    mkdir -p "$out/objects/linux/$dir"
    text=''
    for source in $main $sources; do
        object=linux/$dir/$name-${source%.*}.o
        # shellcheck disable=SC2086 # words
        (cd "tools/testing/selftests/$dir" && compile "$out/objects/$object" "$source" $flags) || return 1
        text="${text}object $object
"
    done
    printf 'case linux/%s/%s\nprogram /build/selftests/%s/%s\ndir /build/selftests/%s\nskip 4\n%s%s' \
        "$dir" "$name" "$dir" "$name" "$dir" "$text" "$rest"
    for word in $links; do printf 'flag %s\n' "$word"; done
}

dir='' flags=''
while read -r first rest; do
    case $first in
    '' | '#'*) ;;
    '['*)
        flags=${rest%]}
        dir=${first#[}
        dir=${dir%]}
        ;;
    *)
        grep -qxF -e linux -e "linux/$dir/$first" /build/wanted || continue
        # shellcheck disable=SC2086 # words
        one "$dir" "$flags" "$first" $rest >>"$out/cases" || printf 'linux/%s/%s\n' "$dir" "$first" >>"$out/unbuilt"
        ;;
    esac
done <"$list"
