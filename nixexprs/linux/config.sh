# linux/config.sh: look with Kconfig alone whether lines of configuration take effect.
# env  source     the patched source, at /build/src as well
#      config     the lines in which ours differs from tinyconfig
#      additions  the lines to look at      explain  kconfig/explain.c
# out  config    the complete configuration
# why  kconfig/explain.c says which other options a line needs; the kernel's own conf drops such a line silently

cat "$config" >/build/differences
printf '%s\n' "$additions" | grep . >/build/asked
unset source config additions
cd /build/obj
make="make -s -C /build/src O=/build/obj"
$make tinyconfig >log

# Of two lines for one option the last one counts; Kconfig warns of each.
cat .config /build/differences /build/asked | sed -n 's/^# \(CONFIG_[^ ]*\) is not set$/\1=n/p; /^CONFIG_/p' | awk -F= '
    { if (!($1 in last)) name[++n] = $1; last[$1] = $0 }
    END { for (i = 1; i <= n; i++) print last[name[i]] }' >merged
mv merged .config

# For this call ours is the program that make runs, from the objects of which make made the kernel's.
cp "$explain" explain.c
(cd scripts/kconfig && gcc -O1 -Wall -I/build/src/scripts/kconfig -o conf ../../explain.c \
    confdata.o expr.o lexer.lex.o menu.o parser.tab.o preprocess.o symbol.o util.o)
if ! ASKED=/build/asked DIFFERENCES=/build/differences $make olddefconfig >said 2>log; then
    [ -s said ] || cat log
    sed 's/^/error: /' said
    exit 1
fi >&2

mkdir "$out"
cp .config "$out/config"
