# link.nix: the app's objects, libc and the kernel's objects become one program.
# in   objects (linux-objects), glibc, app, linux/link.sh, ldflags, libs and calls of the manifest
# out  app (static ELF), app.debug, vmlinux, System.map, config
{ run, script, objects, glibc, app, manifest }:
run {
  name = "link-${manifest.name}";
  script = script ./linux/link.sh;
  inherit objects glibc app;
  inherit (manifest) ldflags libs calls;
}
