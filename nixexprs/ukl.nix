# ukl.nix: the command line program.
# in   go, checkout, modules, stage0, cache (go-cache)      out  bin/ukl
# why  stage0 is named in the program, so whoever has the one can build with the other. So is the source of stage0 and
#      of the program that lays out Go, which `ukl source` hands on
{ system, go, checkout, modules, stage0, cache }:
let
  begins = import ./go-source.nix {
    root = checkout;
    folders = "cmd|cmd/stage0|LICENSES|internal|internal/(pin(/deb|/tree|/toolchain)?|build(/sandbox)?)";
    wanted =
      path:
      builtins.elem path [ "go.mod" "go.sum" "LICENSE" ]
      || builtins.match "(cmd/stage0|LICENSES|internal/(pin/(deb|tree|toolchain)|build/sandbox))/.*" path != null;
    name = "begins-source";
  };
in
import ./go-build.nix {
  inherit system go modules stage0 cache;
  packages = [ "./cmd/ukl" ];
  bin = "${builtins.placeholder "out"}/bin";
  flags = "-X ukl/internal/build/stage.builder=${stage0} -X ukl/internal/build/stage.source=${begins}";
  source = import ./go-source.nix {
    root = checkout;
    folders = "cmd(/ukl)?|(internal|nixexprs)(/.*)?";
    wanted = path: path == "go.mod" || path == "go.sum" || builtins.match "(cmd/ukl|internal|nixexprs)/.*" path != null;
    name = "ukl-source";
  };
  attributes.name = "ukl";
}
