# app-source.nix: what a build sees of an app's directory.
# in   dir      out  a filtered copy
# why  ukl.toml is not part of it: the fields that matter come through the manifest. internal/build/image hashes the
#      same files.
dir:
builtins.path {
  name = "app-source";
  path = dir;
  filter = path: type: builtins.match "ukl\\.(toml|lock)|result.*|\\..*" (baseNameOf path) == null;
}
