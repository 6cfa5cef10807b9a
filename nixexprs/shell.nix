# shell.nix: what stands for bash in `nix develop`, which takes no other builder.
# in   shell/bash.c      out  bin/bash, static: runs the bash of the tree that the environment variable "tree" names
# why  the tree's own bash finds its loader and libraries only with the tree as root directory
{ run, script }:
run {
  name = "shell";
  script = script ./shell/build.sh;
  program = script ./shell/bash.c;
}
