# linux-objects.nix: the kernel compiled once, without any app.
# in   source (patched), linux/{config,configure.sh,gates,objects.sh}; additions: more lines of configuration;
#      checked: linux-config has looked at them
# out  obj: all that link.nix needs; config; gates: the kernel functions that an app may call; objects: their sizes
# why  of ukl.toml only [kernel] may reach this file, so an edited app never rebuilds the kernel
{ run, script, source, additions, checked }:
run (checked // {
  name = "linux-objects";
  script = script ./linux/objects.sh;
  configure = script ./linux/configure.sh;
  config = script ./linux/config;
  gates = script ./linux/gates;
  inherit source additions;
})
