# go-source.nix: the part of the checkout that one Go program is made of.
# in   root, folders (a pattern of those to look into), wanted (relative path -> bool), name      out  a filtered copy
# why  tests, documentation and the other program must not rebuild this one
{ root, folders, wanted, name }:
builtins.path {
  inherit name;
  path = root;
  filter =
    path: type:
    let
      relative = builtins.substring (builtins.stringLength (toString root) + 1) (-1) (toString path);
    in
    if type == "directory" then
      builtins.match folders relative != null
    else
      type == "regular" && wanted relative && builtins.match ".*_test\\.go" relative == null;
}
