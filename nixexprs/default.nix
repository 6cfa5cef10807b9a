# default.nix: the chain of stages, from pins to image. Every stage is an attribute and can be built alone:
#   nix-build nixexprs -A linux-objects --argstr checkout "$PWD"        (or, in the checkout: nix build .#linux)
#
# in   app       directory with a ukl.toml, as a string or path; only app, link and image look at it
#      only      the name of the one file in that directory that is the app
#      fields    what a build reads of its ukl.toml, as a JSON file (manifest.nix); without it, the ukl.toml is read
#      program   instead of it a static ELF file, with its name
#      calls     gate or bypass, instead of what the ukl.toml says
#      flavour   debug: a kernel that looks for its own mistakes (linux/debug.config)
#      checkout  path of this repository: needed only where Go programs, stage0 among them, must be built
# out  go stage0 ukl tools qemu data files linux-source linux-objects glibc-source glibc boot shell profile;
#      app link image of `app`; apps.<name>.{app,link,image}; for process mode process-source process-kernel, and
#      process-root of `app`
# why  no nixpkgs and no builtin fetcher but for pinned files: what is not named here cannot take part
{
  app ? null,
  only ? null,
  fields ? null,
  program ? null,
  name ? null,
  calls ? null,
  flavour ? null,
  checkout ? null,
}@args:
let
  # Arguments of a command line are strings; the flake's are values already.
  checkout = if builtins.isString (args.checkout or null) then /. + args.checkout else args.checkout or null;

  system = "x86_64-linux";
  pins = builtins.fromJSON (builtins.readFile ./pins.json);
  # Asked only for what nobody put into the store before. internal/pin/pins has the same addresses.
  mirrors = rec {
    main = "https://mirrors.kernel.org/debian";
    security = "${main}-security";
    backports = main;
  };

  # A script reaches its stage as a store path of its own: editing one rebuilds that stage, whatever its mode bits are.
  script = file: builtins.toFile (baseNameOf file) (builtins.readFile file);

  pinned = pin: import ./deb.nix { inherit mirrors pin; };
  deb = name: pinned pins.packages.${name};
  tree = name: import ./tree.nix {
    inherit system name stage0;
    inherit (pins.trees.${name}) narHash;
    debs = map deb pins.trees.${name}.packages;
  };
  within = tree: import ./run.nix { inherit system stage0 tree; };
  run = within tools;

  # ukl, which has no checkout, was built with stage0 and keeps it in the store.
  go = if checkout == null then null else import ./go.nix { inherit system checkout; pin = pins.go; };
  modules = import ./go-modules.nix { inherit system go checkout; inherit (pins.modules) narHash; };
  stage0 = import ./stage0.nix { inherit system go; cache = go-cache; inherit (pins.stage0) narHash; };
  go-cache = import ./go-cache.nix { inherit system go checkout modules; };
  ukl = import ./ukl.nix { inherit system go checkout modules stage0; cache = go-cache; };
  check-go = import ./check-go.nix { inherit run script go modules checkout; cache = go-cache; };
  tools = tree "tools";
  qemu = tree "qemu";
  data = tree "data";
  squashfs = tree "squashfs";

  linux-source = import ./linux-source.nix { inherit run script; deb = deb pins.sources.linux; };
  linux-config = additions: import ./linux-config.nix { inherit run script additions; source = linux-source; };
  # Kconfig alone looks at the lines of an app, before anything is compiled with them.
  checked = manifest: if manifest.kernel == "" then { } else { checked = linux-config (additions manifest); };

  linux-objects = linux "" { };
  linux =
    additions: checked: import ./linux-objects.nix { inherit run script additions checked; source = linux-source; };
  glibc-source = import ./glibc-source.nix { inherit run script; deb = deb pins.sources.glibc; };
  glibc = import ./glibc.nix { inherit run script; source = glibc-source; };

  files = import ./files.nix { inherit run script data; };
  boot = import ./boot.nix { inherit run script; };
  shell = import ./shell.nix { inherit run script; };
  profile = import ./profile.nix { inherit run script; };

  # Strings are absolute paths of a command line.
  file = path: if builtins.isString path then /. + path else path;

  process-source = import ./process-source.nix { inherit run script; deb = deb pins.sources.linux; };
  process-kernel = process-linux "" { };
  process-linux =
    additions: checked: import ./process-kernel.nix { inherit run script additions checked; source = process-source; };

  distro-kernel = import ./distro-kernel.nix { inherit run script; deb = deb pins.sources.distro; };

  # Lines of configuration that a flavour and an app add.
  additions =
    manifest: (if flavour == null then "" else builtins.readFile (./linux + "/${flavour}.config")) + manifest.kernel;

  chain = run: manifest: source: app: rec {
    inherit manifest app;
    linux-config = (checked manifest).checked or null;
    linux-objects = linux (additions manifest) (checked manifest);
    process-kernel = process-linux (additions manifest) (checked manifest);
    process-root = import ./process-root.nix { inherit run script source app manifest; };
    link = import ./link.nix { inherit run script glibc app manifest; objects = linux-objects; };
    image = import ./image.nix {
      run = within tools;
      inherit script link manifest;
      objects = linux-objects;
      source = linux-source;
    };
  };
  prebuilt =
    name: path:
    let
      manifest = { inherit name; prebuilt = path; linked = true; build = ""; calls = "gate"; kernel = ""; };
    in
    chain run manifest null (import ./prebuilt.nix { inherit run script manifest; });
  unikernel = described null;
  described =
    fields: dir:
    let
      manifest = import ./manifest.nix { inherit dir fields; } // (if calls == null then { } else { inherit calls; });
      own = import ./app-source.nix { inherit dir only; };
      upstream = import ./upstream.nix {
        run = within tools;
        inherit script manifest;
        archive = import ./archive.nix { inherit mirrors; inherit (manifest) archive; };
        source = own;
      };
      source = if manifest.archive == null then own else upstream;
      # An app with packages of its own is compiled and linked in a tree of its own.
      packages = import ./packages.nix {
        inherit system stage0;
        inherit (manifest) name;
        debs = map deb pins.trees.tools.packages ++ map pinned (builtins.attrValues manifest.packages);
      };
      rootfs =
        if manifest.root == null then
          null
        else
          import ./rootfs.nix {
            run = within tools;
            inherit script manifest squashfs;
            debs = map pinned (builtins.attrValues manifest.root.packages);
          };
      run = within (if manifest.packages == { } then tools else packages);
    in
    { inherit packages upstream rootfs; }
    // chain run manifest source (
      if manifest.root != null then
        import ./app-root.nix { inherit run script manifest rootfs; }
      else if manifest.prebuilt != null then
        import ./prebuilt.nix { inherit run script manifest; }
      else if manifest.build != "" then
        import ./commands.nix { inherit run script source manifest; }
      else
        import ./app.nix { inherit run script glibc source manifest; }
    );
  names = builtins.filter (n: builtins.pathExists (./apps + "/${n}/ukl.toml")) (
    if builtins.pathExists ./apps then builtins.attrNames (builtins.readDir ./apps) else [ ]
  );
in
{
  inherit
    mirrors
    pins
    go
    modules
    stage0
    ukl
    tools
    qemu
    data
    squashfs
    files
    linux-source
    linux-objects
    glibc-source
    glibc
    process-source
    process-kernel
    distro-kernel
    boot
    shell
    profile
    unikernel
    prebuilt
    check-go
    go-cache
    ;
  apps = builtins.listToAttrs (map (n: { name = n; value = unikernel (./apps + "/${n}"); }) names);
}
// (
  if app != null then
    {
      inherit (described (if fields == null then null else file fields) (file app))
        packages
        upstream
        rootfs
        app
        link
        image
        linux-config
        linux-objects
        process-root
        process-kernel
        ;
    }
  else if program != null then
    { inherit (prebuilt name (file program)) app link image linux-objects process-root process-kernel; }
  else
    { }
)
