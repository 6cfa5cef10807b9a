# files.nix: files of the root that a guest gets if its ukl.toml asks for them.
# in   data, the tree of the packages ca-certificates and tzdata; files.sh
# out  certificates, timezones: each a part of a root file system
# why  no image is made of them, so new certificates rebuild no application
{ run, script, data }:
run {
  name = "files";
  script = script ./files.sh;
  inherit data;
}
