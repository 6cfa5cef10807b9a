# process-kernel.nix: the kernel of process mode, the baseline of every comparison.
# in   source (process-source), linux/{config,configure.sh}, process/kernel.sh; additions: more lines of configuration;
#      checked: linux-config has looked at them
# out  vmlinux bzImage System.map config
{ run, script, source, additions, checked }:
run (checked // {
  name = "process-kernel";
  script = script ./process/kernel.sh;
  configure = script ./linux/configure.sh;
  config = script ./linux/config;
  inherit source additions;
})
