# linux/incremental.sh: linux/objects.sh by hand, in a /build/obj that is kept: only what has changed is compiled. For
# work on the kernel (ukl kernel build, run, check); no stage uses it.
# env  stage    linux/objects.sh, with its variables
#      targets  what make is to make instead, one a line; "" is all that objects.sh makes
#      cache    a directory for what the compiler has made of the same text before; "" is none
# why  the stage's script as it is, so that flags and configuration are the stage's

# A patch to a header makes the kernel's makefiles compile all that includes it, although few of these files then read
# otherwise to the compiler. What it has warned of is compiled, and warned of, each time; what includes files that it
# does not read, too.
if [ "$cache" ]; then
    mkdir /tmp/bin
    cat >/tmp/bin/gcc <<'END'
#!/bin/sh
# What is compiled is the last word. The kernel's makefiles try options as well, with other files.
for file do :; done
case " $* " in *' -c -o '*.o\ *) ;; *) file='' ;; esac
case $file in *.c | *.S) ;; *) exec /usr/bin/gcc "$@" ;; esac
out='' next=''
for word do
    shift
    if [ "$next" ]; then
        out=$word next=''
        continue
    fi
    case $word in
    -c) ;;
    -o) next=1 ;;
    *) set -- "$@" "$word" ;;
    esac
done
text=$(mktemp)
trap 'rm -f "$text" "$text.err"' EXIT
if ! /usr/bin/gcc "$@" -E -P -o "$text" 2>/dev/null || grep -q incbin "$text"; then
    /usr/bin/gcc "$@" -c -o "$out"
    exit
fi
printf '%s\n' "$*" >>"$text"
key=$ring0_cache/$(sha256sum <"$text" | cut -c1-64)
if [ -f "$key" ]; then
    cp "$key" "$out"
    exit
fi
/usr/bin/gcc "$@" -c -o "$out" 2>"$text.err"
code=$?
cat "$text.err" >&2
if [ $code = 0 ] && [ ! -s "$text.err" ]; then cp "$out" "$key.$$" && mv "$key.$$" "$key"; fi
exit $code
END
    chmod +x /tmp/bin/gcc
    export ring0_cache="$cache" PATH="/tmp/bin:$PATH"
fi

# To configure takes longer than to compile a file, so it is done only if something that it reads has changed.
stamp=$({
    cat "$configure" "$config"
    printf '%s\n' "$additions"
    cd /build/src
    find . -path ./.git -prune -o '(' -name 'Kconfig*' -o -name '*.config' ')' -print | sort | xargs cat
} | sha256sum)
configured() { echo "$stamp" "$(sha256sum <.config)"; }
cd /build/obj
if [ ! -f .config ] || [ "$(configured)" != "$(cat .configured 2>/dev/null)" ]; then
    rm -f .configured
    # shellcheck disable=SC1090
    (. "$configure")
    configured >.configured
fi
# shellcheck disable=SC2034 # configure.sh reads it
keep=1

# Neither is make's business: the kernel's makefiles have a variable of the same name.
objects_sh=$stage wanted=$targets
unset stage targets cache
if [ -z "$wanted" ]; then
    # The image with an empty app is of no use here, and compressing it takes longer than all else.
    # shellcheck disable=SC2034 # objects.sh reads it
    target=vmlinux
    mkdir -p arch/x86/boot # of the image; objects.sh keeps it
    # shellcheck disable=SC1090
    . "$objects_sh"
    exit
fi
# shellcheck disable=SC1090
. "$configure"
printf '%s\n' "$wanted" | xargs make -C /build/src O=/build/obj -j"$NIX_BUILD_CORES" --
