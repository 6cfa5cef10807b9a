# commands.nix: the user's program, made by commands of its own (make, configure, cmake) in the tree.
# in   source (app-source.nix), manifest (name, build, program or objects, flags), commands.sh, prebuilt.sh,
#      static.cmake
# out  program, or objects/*.o as of app.nix
{ run, script, source, manifest }:
run {
  name = "app-${manifest.name}";
  script = script ./commands.sh;
  inherit source;
  inherit (manifest) build result results cflags cxxflags ldflags;
  finish = script ./prebuilt.sh;
  static = script ./static.cmake;
}
