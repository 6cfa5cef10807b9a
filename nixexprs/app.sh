# app.sh: compiles an app's sources, each on its own, into $out/objects.
#
# in   /build/src  the app's directory          sources          file names or patterns, one a line, relative to it;
#                                               behind a "!" those that are taken away again
#      glibc       include/ of the libc         include cflags cxxflags   one word a line
# out  $out/objects/<source with / as @>.o
#
# Flags of all apps come first, so the app's own can override them. Position-independent code would only cost: the image
# is linked at fixed addresses.
set -f
newline='
'
cd /build/src

# Paths in debug information and __FILE__ are the app's own or a fixed name, never a store path.
common="-O2 -g -pipe -fno-pie -ffile-prefix-map=/build/src=. -ffile-prefix-map=$glibc=/glibc -isystem $glibc/include"

# A line is a word, blanks and quotes included. A name without a pattern must exist.
IFS=$newline
wanted='' unwanted=''
for name in $sources; do
  case $name in
    !*) name=${name#!}; unwanted=$unwanted${name#./}$newline; continue ;;
    *[*?[]*) ;;
    *) [ -f "$name" ] || { printf 'error: source %s does not exist\n' "$name" >&2; exit 1; } ;;
  esac
  wanted=$wanted$name$newline
done
set +f
for file in $unwanted; do printf '%s\n' "$file"; done >/tmp/unwanted
files=$(for file in $wanted; do
  [ ! -f "$file" ] || printf '%s\n' "${file#./}"
done | sort -u | grep -vxFf /tmp/unwanted || :)
set -f
[ "$files" ] || { printf 'error: no source file matches: %s\n' "$(printf '%s ' $sources)" >&2; exit 1; }

includes=$(for dir in $include; do printf '%s\n' "-I$dir"; done)
mkdir -p "$out/objects"

# compile FILE, saying so: these lines are the progress that ukl shows.
compile() {
  file=$1
  object=$out/objects/$(printf '%s' "$file" | tr / @).o
  case $file in
    *.c | *.S | *.s) compiler=gcc own=$cflags ;;
    *.cc | *.cpp | *.cxx | *.C) compiler=g++ own=$cxxflags ;;
    *) printf 'error: %s: unknown kind of source (c, cc, cpp, cxx, S)\n' "$file" >&2; return 1 ;;
  esac
  printf '%s %s\n' "$compiler" "$file"
  IFS=' '
  set -- $common
  IFS=$newline
  "$compiler" "$@" $includes $own -c "$file" -o "$object"
}

# NIX_BUILD_CORES at a time.
pids=
running=0
for file in $files; do
  compile "$file" &
  pids="$pids$!$newline"
  running=$((running + 1))
  if [ "$running" -ge "$NIX_BUILD_CORES" ]; then
    first=${pids%%"$newline"*}
    pids=${pids#*"$newline"}
    running=$((running - 1))
    wait "$first" || exit 1
  fi
done
for pid in $pids; do
  wait "$pid" || exit 1
done
