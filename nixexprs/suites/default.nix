# suites/default.nix: the test programs of glibc, of the kernel and of the Open POSIX Test Suite, for both rings.
# internal/kernel/suites runs them.
#
# in   cases     what is built: glibc/DIRECTORY/TEST, glibc/DIRECTORY, linux/DIRECTORY/NAME, linux, posix/INTERFACE/TEST
#                or posix, one a line
#      leave     regular expression of the tests that a glibc/DIRECTORY does not stand for
#      calls     gate or bypass
#      archive   the source of the Open POSIX Test Suite, as JSON: url, sha256; its cases need it
# out  glibc linux posix: objects; programs: these, linked, for ring 3 only beside the gate; source: glibc's, which its
#      tests read; tools: what they execute
# why  beside the chain of stages and not in it: no image depends on this
{ cases, leave ? "-", calls ? "gate", archive ? null }:
let
  chain = import ../. { };
  system = "x86_64-linux";
  run = import ../run.nix { inherit system; inherit (chain) stage0; tree = chain.tools; };
  script = file: builtins.toFile (baseNameOf file) (builtins.readFile file);

  lines = builtins.filter (l: builtins.isString l && l != "") (builtins.split "\n" cases);
  join = builtins.concatStringsSep "\n";
  within = suite: builtins.filter (l: l == suite || builtins.match "${suite}/.*" l != null) lines;
  # A suite of which nothing is wanted takes no part.
  wanted = suite: stage: if within suite == [ ] then [ ] else [ stage ];
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
  posix = run {
    name = "suites-posix";
    script = script ./posix.sh;
    cases = join (within "posix");
    archive = import ../archive.nix {
      inherit (chain) mirrors;
      archive = builtins.fromJSON archive;
    };
  };
  programs = run {
    name = "suites-programs";
    script = script ./link.sh;
    loader = script ./loader.c;
    runner = script ./runner.c;
    glibc = chain.glibc;
    objects = chain.linux-objects;
    suites = wanted "glibc" glibc ++ wanted "linux" linux ++ wanted "posix" posix;
    inherit calls;
    # Those of ring 3 are the same beside the gate and beside the bypass.
    rings = [ "0" ] ++ (if calls == "gate" then [ "3" ] else [ ]);
  };
}
