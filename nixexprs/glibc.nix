# glibc.nix: the static C library whose system calls are calls.
# in   source (patched), glibc/build.sh      out  lib/*.a, lib/crt*.o, include
{ run, script, source }:
run {
  name = "glibc";
  script = script ./glibc/build.sh;
  inherit source;
}
