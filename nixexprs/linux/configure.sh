# linux/configure.sh: sourced where a kernel is compiled, in /build/obj: makes .config, and $make for what comes after.
# env  config      the lines in which our configuration differs from tinyconfig
#      additions   lines of the application, or of a flavour, that come after them
#      keep        not empty: .config is what these make, and is kept (linux/incremental.sh)
# out  .config; make, the command and its options
# why  fixed user, host and time, so that the same source gives the same bits; the environment's own variables must not
#      reach make

cat "$config" >/build/differences
printf '%s\n' "$additions" | grep . >/build/additions || true
unset config additions source
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:01 UTC 1970'
export KBUILD_BUILD_USER=ukl KBUILD_BUILD_HOST=ukl KBUILD_BUILD_VERSION=1
make="make -s -C /build/src O=/build/obj -j$NIX_BUILD_CORES"
if [ "${keep:-}" ]; then return; fi

# tinyconfig, then our differences, then the defaults of what these bring along.
$make tinyconfig
cat /build/differences /build/additions >>.config
$make olddefconfig

# lost FILE: the lines of FILE that did not take effect.
lost() {
    while read -r line; do
        case $line in
        CONFIG_*=n) ! grep -q "^${line%=n}=" .config || printf ' %s' "$line" ;;
        CONFIG_*) grep -qxF "$line" .config || printf ' %s' "$line" ;;
        esac
    done <"$1"
}

# A kernel that silently lacks what was asked for is worse than none. Additions may switch off what they exclude of
# ours, but never ring 0 itself.
lost=$(lost /build/additions)
if [ -s /build/additions ]; then
    for line in $(lost /build/differences); do
        printf 'note: these additions to the configuration replace %s\n' "$line"
        [ "$line" != CONFIG_RING0_PROCESS=y ] || lost="$lost $line (excluded by another)"
    done
else
    lost=$(lost /build/differences)
fi
if [ -n "$lost" ]; then
    printf 'error: options that do not take effect:%s\n' "$lost" >&2
    exit 1
fi
