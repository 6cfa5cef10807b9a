# app-root.nix: a program of the app's root file system in place of the compiled app.
# in   rootfs (rootfs.nix), prebuilt.sh; no libraries.sh: they are in the root
# out  program, as it goes into the image
{ run, script, manifest, rootfs }:
run {
  name = "app-${manifest.name}";
  script = script ./prebuilt.sh;
  libraries = "";
  program = "${rootfs}/program";
}
