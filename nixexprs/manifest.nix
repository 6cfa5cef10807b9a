# manifest.nix: what a build reads of an app's ukl.toml.
# in   dir      out  name, prebuilt, sources, include, cflags, cxxflags, ldflags, libs, calls
# why  arguments, ports, memory and tests belong to a run; were they here, changing one would rebuild the image
dir:
let
  toml = builtins.fromTOML (builtins.readFile (dir + "/ukl.toml"));
  lines = field: default: builtins.concatStringsSep "\n" (toml.${field} or default);
in
{
  name = toml.name or (baseNameOf dir);
  prebuilt = if toml ? prebuilt then dir + "/${toml.prebuilt}" else null;
  sources = lines "sources" [ "*.c" "*.cc" "*.cpp" "*.S" ];
  include = lines "include" [ ];
  cflags = lines "cflags" [ ];
  cxxflags = lines "cxxflags" [ ];
  ldflags = lines "ldflags" [ ];
  libs = lines "libs" [ ];
  calls = (toml.unikernel or { }).calls or "gate";
}
