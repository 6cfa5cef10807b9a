# profile.nix: the plugin with which QEMU counts every instruction of a guest, for `ukl profile`.
# in   profile/count.c      out  count.so
# why  QEMU loads it: it is compiled with the tools of the suite that QEMU is from
{ run, script }:
run {
  name = "profile";
  script = script ./profile/build.sh;
  plugin = script ./profile/count.c;
}
