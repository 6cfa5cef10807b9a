# linux-source.nix: Debian's copy of the upstream kernel source, with the series applied.
# in   deb (linux-source), linux/source.sh, linux/patches      out  the source tree
{ run, script, deb }:
run {
  name = "linux-source";
  script = script ./linux/source.sh;
  inherit deb;
  patches = builtins.path { name = "linux-patches"; path = ./linux/patches; };
}
