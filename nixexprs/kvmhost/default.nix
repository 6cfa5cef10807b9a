# kvmhost/default.nix: the host of the KVM bench: a machine with a KVM, for QEMU's TCG, which emulates AMD's SVM.
# cmd/ukl/kvm_test.go boots it and has it run ukl.
#
# in   ukl.lock  Debian's kernel for virtual machines and static busybox
# out  host: vmlinuz; host.cpio, the root file system with the pinned QEMU, to which a test adds what it runs
# why  beside the chain of stages and not in it: no image depends on this
let
  chain = import ../. { };
  system = "x86_64-linux";
  run = import ../run.nix { inherit system; inherit (chain) stage0; tree = chain.tools; };
  script = file: builtins.toFile (baseNameOf file) (builtins.readFile file);

  lock = builtins.fromJSON (builtins.readFile ./ukl.lock);
  # What the kernel's package needs in an installed Debian takes no part.
  deb = name: import ../deb.nix { inherit (chain) mirrors; pin = lock.packages.${name}; };
in
{
  host = run {
    name = "kvmhost";
    script = script ./host.sh;
    init = script ./init.sh;
    debs = map deb lock.wanted;
    inherit (chain) qemu;
  };
}
