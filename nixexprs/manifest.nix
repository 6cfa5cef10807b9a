# manifest.nix: what a build reads of an app's ukl.toml.
# in   dir; fields: a JSON file with the keys below of its ukl.toml, or null for the ukl.toml itself
# out  name, prebuilt, linked, build, result, results, root, archive, patches, limit, sources, include, cflags,
#      cxxflags, ldflags, libs, calls, kernel; packages, of ukl.lock
# why  arguments, ports, memory and tests belong to a run; were they here, changing one would rebuild the image.
#      ukl, which has read the file already, passes fields: for TOML, Nix takes time that grows with the square of the
#      length of a line. internal/app/manifest/build.go writes the same keys
{ dir, fields }:
let
  toml =
    if fields == null then
      builtins.fromTOML (builtins.readFile (dir + "/ukl.toml"))
    else
      builtins.fromJSON (builtins.readFile fields);
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
  linked = toml ? prebuilt || toml ? program || toml ? root;
  build = lines "build" [ ];
  result = toml.program or "";
  results = lines "objects" [ ];
  packages = if toml.packages or [ ] == [ ] then { } else lock.packages;
  root =
    if toml ? root then
      {
        program = toml.root.program or "";
        packages = if toml.root.packages or [ ] == [ ] then { } else lock.root.packages;
        # Of a container image, flat. Where nobody has flattened it, ukl has to.
        tar =
          if toml.root ? tar then
            builtins.storePath toml.root.tar
          else if toml.root ? image then
            throw "the image of [root] is read by ukl: ukl build"
          else
            "";
        path = toml.root.path or "";
      }
    else
      null;
  archive = toml.source or null;
  patches = builtins.concatStringsSep "\n" ((toml.source or { }).patches or [ ]);
  limit = (toml.source or { }).limit or "";
  sources = lines "sources" [ "*.c" "*.cc" "*.cpp" "*.S" ];
  include = lines "include" [ ];
  cflags = lines "cflags" [ ];
  cxxflags = lines "cxxflags" [ ];
  ldflags = lines "ldflags" [ ];
  libs = lines "libs" [ ];
  calls = (toml.unikernel or { }).calls or "gate";
  kernel = builtins.concatStringsSep "\n" ((toml.kernel or { }).config or [ ]);
}
