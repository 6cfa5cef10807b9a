# ukl.nix: the command line program.
# in   go, checkout, modules, stage0, cache (go-cache)      out  bin/ukl
# why  stage0 is named in the program, so whoever has the one can build with the other
{ system, go, checkout, modules, stage0, cache }:
import ./go-build.nix {
  inherit system go modules stage0 cache;
  packages = [ "./cmd/ukl" ];
  bin = "${builtins.placeholder "out"}/bin";
  flags = "-X ukl/internal/build/stage.builder=${stage0}";
  source = import ./go-source.nix {
    root = checkout;
    folders = "cmd(/ukl)?|(internal|nixexprs)(/.*)?";
    wanted = path: path == "go.mod" || path == "go.sum" || builtins.match "(cmd/ukl|internal|nixexprs)/.*" path != null;
    name = "ukl-source";
  };
  attributes.name = "ukl";
}
