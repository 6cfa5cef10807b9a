# go-build.nix: `go install` without a shell: go itself is the builder.
# in   go, modules, source; packages to compile; bin, where to put their programs; attributes (name, more environment);
#      cache, a go-cache, with stage0 to copy it; flags for the linker
# out  the programs
# why  no cgo, no build id, no path, no time: the program depends on toolchain and source alone
{ system, go, modules, source, packages, bin, attributes, flags ? "", cache ? null, stage0 ? null }:
let
  command = [ "install" "-C" source "-ldflags=-s -w -buildid= ${flags}" ] ++ packages;
  program = "${go}/bin/go";
in
derivation (
  {
    inherit system;
    # The go command writes to its cache, even where all is in it.
    builder = if cache == null then program else "${stage0}/bin/stage0";
    args = if cache == null then command else [ "copy" "${cache}/cache" "/build/cache" program ] ++ command;
    CGO_ENABLED = "0";
    GOBIN = bin;
    GOCACHE = "/build/cache";
    GOENV = "off";
    GOFLAGS = "-trimpath -buildvcs=false -mod=readonly -modcacherw"; # writable: Nix must be able to remove it
    GOMODCACHE = "/build/modules";
    GOPROXY = "file://${modules}";
    GOSUMDB = "off"; # go.sum and the pin decide
    GOTMPDIR = "/build"; # exists in a sandbox; elsewhere go fails, as it should
    GOTOOLCHAIN = "local";
    HOME = "/build";
  }
  // attributes
)
