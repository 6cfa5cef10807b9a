package nix

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Copy copies store paths from one store to another; "" is the one that Nix builds in. Nix wants signatures that
// nix.conf trusts of what comes in and is not pinned by its content; unsigned takes it without.
func (c *Client) Copy(ctx context.Context, from, to string, unsigned bool, paths []string) error {
	args := slices.Concat(newCommands, []string{"copy"})
	if from != "" {
		args = append(args, "--from", from)
	}
	if to != "" {
		args = append(args, "--to", to)
	}
	if unsigned {
		args = append(args, "--no-check-sigs")
	}
	for chunk := range slices.Chunk(paths, 500) {
		if _, err := c.run(ctx, "nix", slices.Concat(args, chunk)...); err != nil {
			return err
		}
	}
	return nil
}

// In returns those of the paths that the store at url has.
func (c *Client) In(ctx context.Context, url string, paths []string) ([]string, error) {
	bad, err := c.invalid(ctx, paths, "--store", url)
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return slices.Contains(bad, p) }), err
}

// Dead returns the paths of the store that nothing holds: no root, no running build.
func (c *Client) Dead(ctx context.Context) ([]string, error) {
	out, err := c.run(ctx, "nix-store", "--gc", "--print-dead")
	return strings.Fields(string(out)), err
}

// Delete deletes paths, with whatever refers to them, unless something holds one: then it is an error, and those before
// it are gone.
func (c *Client) Delete(ctx context.Context, paths []string) error {
	for chunk := range slices.Chunk(paths, 500) {
		if _, err := c.run(ctx, "nix-store", slices.Concat([]string{"--delete"}, chunk)...); err != nil {
			return err
		}
	}
	return nil
}

// Sizes returns the sizes of valid paths, in bytes.
func (c *Client) Sizes(ctx context.Context, paths []string) ([]int64, error) {
	var sizes []int64
	for chunk := range slices.Chunk(paths, 500) {
		out, err := c.run(ctx, "nix-store", slices.Concat([]string{"--query", "--size"}, chunk)...)
		if err != nil {
			return nil, err
		}
		for _, word := range strings.Fields(string(out)) {
			var n int64
			if _, err := fmt.Sscan(word, &n); err != nil {
				return nil, err
			}
			sizes = append(sizes, n)
		}
	}
	if len(sizes) != len(paths) {
		return nil, fmt.Errorf("nix-store printed %d sizes for %d paths", len(sizes), len(paths))
	}
	return sizes, nil
}
