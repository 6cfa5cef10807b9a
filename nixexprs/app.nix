# app.nix: the user's program, compiled, not linked.
# in   source (app-source.nix), manifest (see manifest.nix), glibc (its headers), app.sh      out  objects/*.o
{ run, script, glibc, source, manifest }:
run {
  name = "app-${manifest.name}";
  script = script ./app.sh;
  inherit glibc source;
  inherit (manifest) sources include cflags cxxflags;
}
