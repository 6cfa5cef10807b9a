# prebuilt.nix: a finished program in place of the compiled app.
# in   manifest (name, prebuilt: a static ELF file), prebuilt.sh      out  program
{ run, script, manifest }:
run {
  name = "app-${manifest.name}";
  script = script ./prebuilt.sh;
  program = builtins.path { name = "program"; path = manifest.prebuilt; };
}
