# go-build.nix: `go build` without a shell: go itself is the builder.
# in   go, modules, source, package, attributes (name, hashes)      out  bin/<last word of package>
# why  no cgo, no build id, no path, no time: the program depends on toolchain and source alone
{ system, go, modules, source, package, attributes, flags ? "" }:
derivation (
  {
    inherit system;
    builder = "${go}/bin/go";
    args = [
      "build"
      "-C"
      source
      "-o"
      "${builtins.placeholder "out"}/bin/${baseNameOf package}"
      "-ldflags=-s -w -buildid= ${flags}"
      package
    ];
    CGO_ENABLED = "0";
    GOCACHE = "/build/cache";
    GOENV = "off";
    GOFLAGS = "-trimpath -buildvcs=false -mod=readonly";
    GOMODCACHE = "/build/modules";
    GOPROXY = "file://${modules}";
    GOSUMDB = "off"; # go.sum and the pin decide
    GOTOOLCHAIN = "local";
    HOME = "/build";
  }
  // attributes
)
