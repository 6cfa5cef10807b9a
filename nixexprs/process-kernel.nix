# process-kernel.nix: the kernel of process mode, the baseline of every comparison.
# in   source (process-source), linux/{config,configure.sh}, process/kernel.sh; additions: more lines of configuration
# out  vmlinux bzImage System.map config
{ run, script, source, additions }:
run {
  name = "process-kernel";
  script = script ./process/kernel.sh;
  configure = script ./linux/configure.sh;
  config = script ./linux/config;
  inherit source additions;
}
