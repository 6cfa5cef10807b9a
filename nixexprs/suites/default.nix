# suites/default.nix: the test programs of glibc and of the kernel, for both rings. internal/kernel/suites runs them.
#
# in   cases     glibc/DIRECTORY/TEST, glibc/DIRECTORY, linux/DIRECTORY/NAME or linux, one a line: what is built
#      leave     regular expression of the tests that a glibc/DIRECTORY does not stand for
#      calls     gate or bypass
# out  glibc linux: objects; programs: these, linked; source: glibc's, which its tests read; tools: what they execute
# why  beside the chain of stages and not in it: no image depends on this
{ cases, leave ? "-", calls ? "gate" }:
let
  chain = import ../. { };
  system = "x86_64-linux";
  run = import ../run.nix { inherit system; inherit (chain) stage0; tree = chain.tools; };
  script = file: builtins.toFile (baseNameOf file) (builtins.readFile file);

  lines = builtins.filter (l: builtins.isString l && l != "") (builtins.split "\n" cases);
  join = builtins.concatStringsSep "\n";
  within = suite: builtins.filter (l: l == suite || builtins.match "${suite}/.*" l != null) lines;
  # glibc's own names.
  short = l: builtins.head (builtins.match "glibc/(.*)" l);
in
rec {
  inherit (chain) tools;
  source = chain.glibc-source;

  glibc = run {
    name = "suites-glibc";
    script = script ./glibc.sh;
    cases = join (map short (within "glibc"));
    inherit source leave;
  };
  linux = run {
    name = "suites-linux";
    script = script ./selftests.sh;
    list = script ./selftests;
    cases = join (within "linux");
    inherit (chain.linux-source) deb;
  };
  programs = run {
    name = "suites-programs";
    script = script ./link.sh;
    loader = script ./loader.c;
    runner = script ./runner.c;
    glibc = chain.glibc;
    objects = chain.linux-objects;
    suites = [ glibc linux ];
    inherit calls;
  };
}
