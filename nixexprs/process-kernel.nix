# process-kernel.nix: the kernel of process mode, the baseline of every comparison.
# in   source (process-source), linux/config, process/kernel.sh      out  vmlinux bzImage System.map config
{ run, script, source }:
run {
  name = "process-kernel";
  script = script ./process/kernel.sh;
  inherit source;
  config = script ./linux/config;
}
