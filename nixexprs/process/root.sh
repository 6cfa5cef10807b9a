# process/root.sh: the root file system of process mode, as an initramfs: /init and /app, an ordinary static program.
# env  init     process/init.c
#      program  a finished program, or "": then the app is linked here, with the tree's own libc
#      compiled its objects, or "": then they are compiled here, from /build/src as by app.sh
#      compile  app.sh, with its variables      ldflags libs   as for linux/link.sh
# out  root.cpio; app, with its symbols

lib=/usr/lib/x86_64-linux-gnu
mkdir -p /build/obj/root
if [ "$program" ]; then
    cp "$program/program" /build/obj/app
else
    if [ -z "$compiled" ]; then
        compiled=/build/obj/compiled
        # Without a libc of ours the compiler finds the tree's own headers.
        # shellcheck disable=SC1090
        (out=$compiled glibc=/none && . "$compile")
    fi
    # shellcheck disable=SC2046,SC2086 # one word a line
    set -- $(printf '%s\n' "$ldflags")
    for l in $libs; do set -- "$@" "-l$l"; done
    g++ -static -no-pie -Wl,--build-id=none -L"$lib" -o /build/obj/app "$compiled"/objects/*.o "$@" -lm -lpthread
fi
cd /build/obj
gcc -static -Os -s -Wall -Wextra -Werror -Wl,--build-id=none -o root/init -x c "$init"
objcopy --strip-debug app root/app
if [ "$program" ]; then cp -f app root/app; fi
chmod 555 root/init root/app
find root -exec touch -h -d @1 {} +

mkdir "$out"
cp app "$out/app"
if [ "$program" ] && [ -f "$program/symbols" ]; then cp -f "$program/symbols" "$out/app"; fi
(cd root && printf '%s\n' app init | cpio --quiet -o -H newc -R 0:0 --reproducible) >"$out/root.cpio"
