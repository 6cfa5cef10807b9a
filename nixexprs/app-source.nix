# app-source.nix: what a build sees of an app's directory.
# in   dir; only: the name of the one file that is the app, or null      out  a filtered copy
# why  ukl.toml is not part of it: the fields that matter come through the manifest. internal/build/image hashes the
#      same files.
{ dir, only }:
builtins.path {
  name = "app-source";
  path = dir;
  filter =
    if only == null then
      path: type: builtins.match "ukl\\.(toml|lock)|result.*|\\..*" (baseNameOf path) == null
    else
      path: type: path == toString dir + "/${only}";
}
