# manifest.nix: what a build reads of an app's ukl.toml.
# in   dir
# out  name, prebuilt, linked, build, result, results, archive, patches, sources, include, cflags, cxxflags, ldflags,
#      libs, calls, kernel; packages, of ukl.lock
# why  arguments, ports, memory and tests belong to a run; were they here, changing one would rebuild the image
dir:
let
  toml = builtins.fromTOML (builtins.readFile (dir + "/ukl.toml"));
  lines = field: default: builtins.concatStringsSep "\n" (toml.${field} or default);
  lock = builtins.fromJSON (builtins.readFile (dir + "/ukl.lock"));
  # Another flake's own directory is a store path, which is no name.
  directory =
    let
      base = baseNameOf (toString dir);
    in
    if builtins.match "[0-9a-z]{32}-.*" base == null then
      base
    else
      throw "${base}/ukl.toml has no name, and neither has the flake: add name = \"...\"";
in
{
  name = toml.name or directory;
  prebuilt = if toml ? prebuilt then dir + "/${toml.prebuilt}" else null;
  linked = toml ? prebuilt || toml ? program;
  build = lines "build" [ ];
  result = toml.program or "";
  results = lines "objects" [ ];
  packages = if toml.packages or [ ] == [ ] then { } else lock.packages;
  archive = toml.source or null;
  patches = builtins.concatStringsSep "\n" ((toml.source or { }).patches or [ ]);
  sources = lines "sources" [ "*.c" "*.cc" "*.cpp" "*.S" ];
  include = lines "include" [ ];
  cflags = lines "cflags" [ ];
  cxxflags = lines "cxxflags" [ ];
  ldflags = lines "ldflags" [ ];
  libs = lines "libs" [ ];
  calls = (toml.unikernel or { }).calls or "gate";
  kernel = builtins.concatStringsSep "\n" ((toml.kernel or { }).config or [ ]);
}
