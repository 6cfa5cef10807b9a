# commands.nix: the user's program, made by commands of its own (make, configure, cmake) in the tree.
# in   source (app-source.nix), manifest (name, build, program or objects, flags), commands.sh, prebuilt.sh,
#      libraries.sh, static.cmake, ld.sh, linked.awk, links.awk, origins.sh
# out  program, or objects/*.o as of app.nix; linked: the object files in them; root, libraries and missing, as of
#      prebuilt.nix
{ run, script, source, manifest }:
run {
  name = "app-${manifest.name}";
  script = script ./commands.sh;
  inherit source;
  inherit (manifest) build result results cflags cxxflags ldflags;
  finish = script ./prebuilt.sh;
  libraries = script ./libraries.sh;
  static = script ./static.cmake;
  ld = script ./ld.sh;
  linked = script ./linked.awk;
  links = script ./links.awk;
  origins = script ./origins.sh;
}
