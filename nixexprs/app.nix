# app.nix: the user's program, compiled, not linked.
# in   dir, manifest (see manifest.nix), glibc (its headers), app.sh      out  objects/*.o
# why  ukl.toml is not part of the source: the fields that matter come through the manifest
{ run, script, glibc, dir, manifest }:
run {
  name = "app-${manifest.name}";
  script = script ./app.sh;
  inherit glibc;
  inherit (manifest) sources include cflags cxxflags;
  source = builtins.path {
    name = "app-source";
    path = dir;
    filter = path: type: builtins.match "ukl\\.toml|result.*|\\..*" (baseNameOf path) == null;
  };
}
