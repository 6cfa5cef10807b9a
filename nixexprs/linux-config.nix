# linux-config.nix: Kconfig's answer to an app's lines of kernel configuration, before a kernel is compiled with them.
# in   source (patched), linux/{config,config.sh,kconfig/explain.c}; additions: more lines of configuration
# out  config: the complete configuration; or an error that says what each line lacks
# why  a stage of its own: only a kernel with lines of its own waits for it
{ run, script, source, additions }:
run {
  name = "linux-config";
  script = script ./linux/config.sh;
  config = script ./linux/config;
  explain = script ./linux/kconfig/explain.c;
  inherit source additions;
}
