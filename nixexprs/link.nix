# link.nix: the app's objects, libc and the kernel's objects become one program.
# in   objects (linux-objects), glibc, app, linux/link.sh, linked.awk, ldflags, libs and calls of the manifest
# out  app (static ELF), vmlinux, System.map, config; linked: the object files of the app
# why  one that is prebuilt, or a program made by commands, is linked already: no libc is needed for it
{ run, script, objects, glibc, app, manifest }:
run (
  {
    name = "link-${manifest.name}";
    inherit objects app;
    inherit (manifest) calls;
  }
  // (
    if !manifest.linked then
      {
        script = script ./linux/link.sh;
        linked = script ./linked.awk;
        inherit glibc;
        inherit (manifest) ldflags libs;
      }
    else
      {
        script = script ./link-prebuilt.sh;
        linux_link = script ./linux/link.sh;
      }
  )
)
