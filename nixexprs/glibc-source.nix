# glibc-source.nix: Debian's copy of the upstream libc source, with the series applied.
# in   deb (glibc-source), glibc/source.sh, glibc/patches      out  the source tree
{ run, script, deb }:
run {
  name = "glibc-source";
  script = script ./glibc/source.sh;
  inherit deb;
  patches = builtins.path { name = "glibc-patches"; path = ./glibc/patches; };
}
