# upstream.nix: third-party source of an app, unpacked and patched, with the app's own files above it.
# in   archive (archive.nix), source (app-source.nix), manifest (patches, limit), upstream.sh
# out  a directory that takes the place of the app's own
{ run, script, archive, source, manifest }:
run {
  name = "upstream-${manifest.name}";
  script = script ./upstream.sh;
  inherit archive source;
  inherit (manifest) patches limit;
}
