# process-root.nix: an app as an ordinary ring-3 program, with Debian's libc, in a root file system of its own.
# in   source (app-source.nix), manifest, app (the stage, where the app is linked already), process/{root.sh,init.c}
# out  root.cpio, app
{ run, script, source, app, manifest }:
run (
  {
    name = "root-${manifest.name}";
    script = script ./process/root.sh;
    init = script ./process/init.c;
  }
  // (
    if manifest.linked then
      { program = app; }
    else
      {
        program = "";
        compile = script ./app.sh;
        inherit source;
        inherit (manifest) sources include cflags cxxflags ldflags libs;
      }
  )
)
