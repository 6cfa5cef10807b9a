{
  description = "Linux unikernels in one command";

  # The Go toolchain is the only input. It is the module golang.org/toolchain of the Go module proxy, unpacked: ./ukl puts it
  # into the store through the host's go command, and the hash in flake.lock decides. The address below serves the official
  # archive of the same version, which has a few more files and hence another hash: Nix does not fetch what it has.
  inputs.go = {
    url = "https://go.dev/dl/go1.26.8.linux-amd64.tar.gz";
    flake = false;
  };

  outputs =
    { self, go }:
    let
      system = "x86_64-linux";
      stages = import ./nixexprs { inherit go; checkout = ./.; };
      images = builtins.mapAttrs (_: app: app.image) stages.apps;
      program = name: { type = "app"; program = "${stages.ukl}/bin/${name}"; };
    in
    {
      packages.${system} = images // {
        default = stages.ukl;
        linux = stages.linux-objects;
        linux-process = stages.process-kernel;
        inherit (stages)
          ukl
          stage0
          tools
          qemu
          linux-source
          linux-objects
          glibc-source
          glibc
          ;
      };

      apps.${system} = {
        default = program "ukl";
        ukl = program "ukl";
      };

      checks.${system} = images // {
        go = stages.check-go;
      };

      # The stages { app, link, image } of a directory with a ukl.toml, for other flakes.
      lib.mkUnikernel = { src }: stages.unikernel src;

      # The same of a static x86-64 ELF file.
      lib.fromProgram = { name, program }: stages.prebuilt name program;
    };
}
