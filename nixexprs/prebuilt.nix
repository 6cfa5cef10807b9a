# prebuilt.nix: a finished program in place of the compiled app.
# in   manifest (name, prebuilt: an ELF file), prebuilt.sh, libraries.sh
# out  program; root, libraries and missing of a dynamic one, as libraries.sh has them
{ run, script, manifest }:
run {
  name = "app-${manifest.name}";
  script = script ./prebuilt.sh;
  libraries = script ./libraries.sh;
  program = builtins.path { name = "program"; path = manifest.prebuilt; };
}
