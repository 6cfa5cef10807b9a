# profile/build.sh: compile the plugin that counts.
# env  plugin   profile/count.c
# out  count.so

cd /build/obj
gcc -O2 -shared -fPIC -fvisibility=hidden -Wall -Wextra -Werror -Wl,--build-id=none -s -o count.so -x c - <"$plugin"

mkdir "$out"
cp count.so "$out"
chmod 555 "$out/count.so"
