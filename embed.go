// Package ukl carries the source of the programs that begin each build: the first builder, stage0, and what lays out
// the Go toolchain that compiles it. With package nixexprs this is all of ukl's own that takes part in the build of an
// image. Files are data here: nothing in this package runs or changes them.
package ukl

import "embed"

// Builder holds what nixexprs/go-cache.nix and nixexprs/go-run.nix compile, by its paths in this repository, and the
// licences. A ukl that was built in a checkout has the tests of these packages, too.
//
//go:embed go.mod go.sum LICENSE LICENSES cmd/stage0 internal/build/sandbox internal/pin/deb internal/pin/tree
//go:embed internal/pin/toolchain/*.go
var Builder embed.FS
