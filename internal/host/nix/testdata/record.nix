# record.nix: derivations that end in every way a build can. `record` builds them and keeps Nix's log.
# salt makes a derivation that no store has seen.
{ salt }:
let
  run = name: script: extra: derivation ({
    inherit name salt;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" script ];
    PATH = "/usr/bin";
  } // extra);
  fixed = {
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = "0000000000000000000000000000000000000000000000000000000000000000";
  };
  compiler = ''
    echo "CC x.o"
    echo "x.c: In function 'main':" >&2
    echo "x.c:3:1: error: 'y' undeclared (first use in this function)" >&2
    echo "    3 | y = 1;" >&2
    echo "make: *** [Makefile:2: x.o] Error 1" >&2
  '';
in
rec {
  # Nix reads a phase from a line of its own protocol.
  ok = run "ok" ''
    echo hello
    echo '@nix {"action":"setPhase","phase":"two"}' >&2
    echo bye
    echo "$salt" >"$out"
  '' { };
  failed = run "failed" "${compiler} exit 1" { };
  above = run "above" "echo never" { below = failed; };
  # Nix repeats only the last lines of a log: an error far above them must come from the log itself.
  long = run "long" ''
    ${compiler}
    for i in $(seq 100); do echo "line $i"; done
    exit 2
  '' { };
  silent = run "silent" "exit 3" { };
  killed = run "killed" "echo before; exec sleep 3333" { };
  nobuilder = run "nobuilder" "" { builder = "/none"; };
  nooutput = run "nooutput" "echo done" { };
  hash = run "hash" ''echo hello >"$out"'' fixed;
  abovehash = run "abovehash" "echo never" { below = hash; };
  slow = run "slow" "echo before; sleep 60" { };
  mute = run "mute" "echo before; sleep 60" { };
  differs = run "differs" ''date +%N >"$out"'' { };
  sandbox = run "sandbox" ''echo hello >"$out"'' { };
}
