package image

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"ukl/internal/app/apps"
	"ukl/internal/build/stage"
	"ukl/internal/host/nix"
	"ukl/nixexprs"
)

// recipeSuffix tells what belongs to an attribute's recipe from what belongs to its result.
const recipeSuffix = "-recipe"

// Recipe returns what Nix would do for an attribute. All that its builder reads is in the store then, but for what the
// attributes in without make: the caller has that elsewhere. When nothing has changed since the last call, no Nix is
// started.
func (b *Builder) Recipe(ctx context.Context, a apps.App, attr string, without ...string) (*Derivation, error) {
	root, key := filepath.Join(b.Cache, stages, attr+recipeSuffix), nixexprs.Hash()+" "+stage.Builder()
	if a.Manifest != nil {
		root = b.root(a, attr+recipeSuffix)
		var err error
		if key, err = b.key(ctx, a); err != nil {
			return nil, err
		}
	}
	if drv := recall(root+memoSuffix, key); drv != "" {
		if d, err := ReadDerivation(drv); err == nil && len(absentInputs(d, without)) == 0 {
			return d, nil
		}
	}
	lock, err := b.begin(ctx, root)
	if err != nil {
		return nil, err
	}
	drv, own, err := b.evaluate(ctx, a, attr, root)
	if err != nil {
		return nil, err
	}
	d, err := ReadDerivation(drv)
	if err != nil {
		return nil, err
	}
	for _, input := range absentInputs(d, without) {
		if _, err := b.bring(ctx, lock, own, input, ""); err != nil {
			return nil, err
		}
	}
	remember(root+memoSuffix, key, drv)
	b.keep(ctx, a)
	return d, nil
}

// absentInputs are the derivations whose outputs a builder reads and that are not in the store, without those of some
// attributes.
func absentInputs(d *Derivation, without []string) []string {
	var absent []string
	for drv := range d.Inputs {
		if s, ok := stage.Of(nix.Name(drv)); ok && slices.Contains(without, s.Attr) {
			continue
		}
		in, err := ReadDerivation(drv)
		if err != nil || slices.ContainsFunc(d.Inputs[drv],
			func(output string) bool { return !exists(nix.Physical(in.Outputs[output])) }) {
			absent = append(absent, drv)
		}
	}
	slices.Sort(absent)
	return absent
}

// Expressions returns the directory with the expressions and the scripts of the stages.
func (b *Builder) Expressions() (string, error) {
	dir, err := nixexprs.Extract(b.Cache)
	if err != nil {
		return "", fmt.Errorf("the expressions: %w", err)
	}
	return dir, nil
}
