# ukl.nix: the command line program.
# in   go, checkout, modules, stage0, cache (go-cache)      out  bin/ukl
# why  stage0 is named in the program, so whoever has the one can build with the other. The program also carries the
#      source of stage0, which `ukl source` hands on
{ system, go, checkout, modules, stage0, cache }:
import ./go-build.nix {
  inherit system go modules stage0 cache;
  packages = [ "./cmd/ukl" ];
  bin = "${builtins.placeholder "out"}/bin";
  flags = "-X ukl/internal/build/stage.builder=${stage0}";
  source = import ./go-source.nix {
    root = checkout;
    folders = "cmd(/ukl|/stage0)?|(internal|nixexprs)(/.*)?|LICENSES";
    wanted =
      path:
      builtins.elem path [ "go.mod" "go.sum" "embed.go" "LICENSE" ]
      || builtins.match "(cmd/ukl|cmd/stage0|internal|nixexprs|LICENSES)/.*" path != null;
    name = "ukl-source";
  };
  attributes.name = "ukl";
}
