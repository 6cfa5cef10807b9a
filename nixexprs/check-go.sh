# check-go.sh: the Go tests, in the build tools' tree, without a network or any other program of the host.
#
# in   go, modules, cache  the toolchain, a module proxy, a go-cache       packages  what to test, one a line
#      /build/src   the checkout
# out  $out         the tests' output
export GOCACHE=/build/cache GOMODCACHE=/build/modules GOENV=off GOTOOLCHAIN=local GOSUMDB=off CGO_ENABLED=0
export GOPROXY="file://$modules" GOFLAGS='-trimpath -buildvcs=false -mod=readonly'
# What boots needs Nix, which no build can start.
export UKL_TEST_BOOT=off
cp -R "$cache/cache" /build/cache
chmod -R u+w /build/cache
cd /build/src
# shellcheck disable=SC2086 # words
"$go/bin/go" vet $packages
# shellcheck disable=SC2086
"$go/bin/go" test $packages >/tmp/log || { cat /tmp/log; exit 1; }
cat /tmp/log
cp /tmp/log "$out"
