{
  description = "A unikernel";

  # Where ukl comes from: its address here, or `nix registry add ukl ADDRESS` once.
  inputs.ukl.url = "ukl";

  outputs =
    { ukl, ... }:
    {
      packages.x86_64-linux.default = ukl.lib.mkUnikernel { src = ./.; };
    };
}
