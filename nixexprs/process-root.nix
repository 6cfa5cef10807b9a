# process-root.nix: an app as an ordinary ring-3 program, with Debian's libc, in a root file system of its own.
# in   source (app-source.nix), manifest, app (the stage, where commands or nobody made the app),
#      process/{root.sh,init.c}
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
    else if manifest.build != "" then
      {
        program = "";
        compiled = app;
        inherit (manifest) ldflags libs;
      }
    else
      {
        program = "";
        compiled = "";
        compile = script ./app.sh;
        inherit source;
        inherit (manifest) sources include cflags cxxflags ldflags libs;
      }
  )
)
