# linux-objects.nix: the kernel compiled once, without any app.
# in   source (patched), linux/config, linux/gates (names of functions), linux/objects.sh
# out  obj: all that link.nix needs; config; gates: the kernel functions that an app may call
# why  no field of ukl.toml may reach this file, so an edited app never rebuilds the kernel
{ run, script, source }:
run {
  name = "linux-objects";
  script = script ./linux/objects.sh;
  inherit source;
  config = script ./linux/config;
  gates = script ./linux/gates;
}
