# shell/build.sh: compile the stand-in for bash.
# env  program   shell/bash.c
# out  bin/bash

mkdir -p "$out/bin"
gcc -static -Os -s -Wall -Wextra -Werror -Wl,--build-id=none -o "$out/bin/bash" -x c "$program"
