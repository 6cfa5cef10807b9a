# go-modules.nix: the modules of go.sum, laid out as a module proxy (<module>/@v/<version>.{mod,zip}).
# in   go, checkout, narHash      out  the proxy's files, for GOPROXY=file://
# why  Go fetches them itself, from its own default proxy or the user's; the hash decides. ./ukl puts them into the
#      store beforehand, and then nothing is fetched: Nix 2.8 gives its builds no certificates of the host's to fetch
#      with, 2.26 does
{ system, go, checkout, narHash }:
import ./go-run.nix {
  inherit system go checkout narHash;
  name = "go-modules";
  args = [
    "modules"
    (import ./go-source.nix {
      root = checkout;
      folders = "";
      wanted = path: path == "go.mod" || path == "go.sum";
      name = "go-modules-source";
    })
  ];
  environment = {
    GOMODCACHE = "/build/modules";
    GOSUMDB = "off"; # go.sum and the pin decide
    TMPDIR = "/build";
    impureEnvVars = [
      "GOPROXY"
      "HTTP_PROXY"
      "HTTPS_PROXY"
      "NO_PROXY"
      "http_proxy"
      "https_proxy"
      "no_proxy"
    ];
  };
}
