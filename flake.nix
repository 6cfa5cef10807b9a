{
  description = "Linux unikernels in one command";

  # No inputs: what the expressions need, they pin themselves. See nixexprs/pins.json.
  outputs =
    { self }:
    let
      system = "x86_64-linux";
      stages = import ./nixexprs { checkout = ./.; };
      images = builtins.mapAttrs (_: app: app.image) stages.apps;
      program = name: { type = "app"; program = "${stages.ukl}/bin/${name}"; };

      # The image, and the stages that it is made from: .app, .link, .image.
      unikernel = stages: stages.image // { inherit (stages) app link image; };

      # What `nix develop` enters: ukl, the first builder and Go are on PATH, and $tree is the pinned tree.
      shell =
        name: more:
        derivation (
          {
            inherit name system;
            builder = "${stages.shell}/bin/bash";
            outputs = [ "out" ]; # a variable that Nix's script reads
            tree = stages.tools;
            PATH = "${stages.ukl}/bin:${stages.stage0}/bin:${stages.go}/bin";
          }
          // more
        );
    in
    {
      packages.${system} = images // {
        default = stages.ukl;
        linux = stages.linux-objects;
        linux-process = stages.process-kernel;
        linux-distro = stages.distro-kernel;
        inherit (stages)
          ukl
          go
          stage0
          tools
          qemu
          linux-source
          linux-objects
          glibc-source
          glibc
          boot
          ;
      };

      apps.${system} = {
        default = program "ukl";
        ukl = program "ukl";
      };

      checks.${system} = images // {
        go = stages.check-go;
      };

      devShells.${system} = {
        default = shell "ukl-shell" { };
        # $linux is the patched source, $objects what it was compiled to.
        kernel = shell "ukl-kernel-shell" {
          linux = stages.linux-source;
          objects = stages.linux-objects;
        };
      };

      # For other flakes: the image of a directory with a ukl.toml, and that of an x86-64 ELF file.
      lib.mkUnikernel = { src }: unikernel (stages.unikernel src);
      lib.fromProgram = { name, program }: unikernel (stages.prebuilt name program);

      overlays.default = final: prev: {
        inherit (self.packages.${system}) ukl;
        inherit (self.lib) mkUnikernel;
      };

      templates.default = {
        path = ./internal/app/scaffold/flake;
        description = "A C program as a unikernel";
      };
    };
}
